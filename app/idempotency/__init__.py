"""Idempotency-Key: a request that a client repeats, not knowing whether it was done, is done once."""
