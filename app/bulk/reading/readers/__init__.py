"""From the bytes of an upload to its rows: a file a form."""
