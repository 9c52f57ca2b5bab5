"""Bulk uploads and exports: any number of records in one file."""
