"""Bulk uploads: any number of records in one file."""
