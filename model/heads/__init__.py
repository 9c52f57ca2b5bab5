"""The layers that turn embeddings into one score a group or label, and their weights."""
