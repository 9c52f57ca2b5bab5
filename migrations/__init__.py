"""The schema's history, run by app.db.migrating."""
