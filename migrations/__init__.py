"""The schema's history, run by app.migrating."""
