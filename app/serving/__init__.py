"""The active releases in memory: load, follow the change log, answer."""
