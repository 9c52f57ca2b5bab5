"""Groups: records that mean the same."""
