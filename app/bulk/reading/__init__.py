"""From the bytes of an upload to checked records: unpacking, encodings, forms, columns, cells."""
