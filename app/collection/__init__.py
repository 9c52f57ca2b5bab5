"""Collections: named sets of records searched together."""
