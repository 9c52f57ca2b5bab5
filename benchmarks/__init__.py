"""Measurements: figures, never pass or fail."""
