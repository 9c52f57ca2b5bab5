"""The only way to SQL: units of work, run by SQLite or PostgreSQL."""
