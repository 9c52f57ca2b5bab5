"""A run as one page a person can read, and what to try next."""
