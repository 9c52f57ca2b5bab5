"""The report of a release as a page that one can read: one file, no script, nothing from anywhere else."""
