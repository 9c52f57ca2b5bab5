"""From the bytes of an upload to checked records: unpacking, charsets, forms, columns, cells."""
