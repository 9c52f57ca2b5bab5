"""Sentences to embeddings: the micro-batcher of requests, and the way of very many sentences."""
