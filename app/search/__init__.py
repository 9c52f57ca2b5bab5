"""Neighbours, groups, decisions and similarity; no tables."""
