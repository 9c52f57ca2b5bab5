"""Releases: an encoder, its index and its thresholds, as one."""
