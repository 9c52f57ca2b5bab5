"""Records: the stored sentences and their change log."""
