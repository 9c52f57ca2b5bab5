"""Vectors to neighbours: int64 ids, unit float32 vectors and nothing else (no text, HTTP, SQL or training)."""
