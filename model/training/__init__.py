"""A run: its start, its loop, its steps and its checkpoints."""
