"""An index on a Milvus server: its collections, what counts of them, searching them."""
