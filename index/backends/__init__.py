"""One search each, behind one protocol: in NumPy, FAISS on CPUs and GPUs, on a Milvus server."""
