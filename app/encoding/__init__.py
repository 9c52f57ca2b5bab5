"""The micro-batcher: many requests, one call of the encoder."""
