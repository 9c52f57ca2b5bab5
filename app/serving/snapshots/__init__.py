"""Snapshots on the disk: the base of a release, and how the next one is built, in a process of its own."""
