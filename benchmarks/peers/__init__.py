"""The service's peers, one file each, behind one protocol (interface.py)."""
