"""Embeddings and models as OpenAI's API has them."""
