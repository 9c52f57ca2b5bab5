"""Feedback: what people say of answers, the queries that are kept, and how both become records."""
