"""The releases in memory, active and warm: load, follow the change log, answer."""
