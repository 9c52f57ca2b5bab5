"""Judging: what is odd about the data, and whether a candidate may take the place of the release that answers."""
