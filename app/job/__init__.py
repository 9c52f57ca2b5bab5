"""Long work: rows that outlive every process, workers that run them, and what clients see of them."""
