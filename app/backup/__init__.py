"""Backups: everything that a database and its encoders hold, in one file, the same for SQLite and PostgreSQL."""
