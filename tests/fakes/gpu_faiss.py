"""A FAISS that says it has a GPU, and keeps on the CPU what is put there. It proves nothing about GPUs, only what we do
around them: candidates, filters, ties, scores. Its indexes refuse, as GPU indexes do, parameters of a search, and more
than 2,048 rows.
"""

from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

MOST_FOUND: Final = 2_048


class GpuFaissFake:
    """The module, with what a build for GPUs has besides."""

    StandardGpuResources = object

    def __init__(self, n_gpus: int = 1) -> None:
        self._n_gpus = n_gpus

    def __getattr__(self, name: str) -> Any:
        return getattr(faiss, name)

    def get_num_gpus(self) -> int:
        return self._n_gpus

    class GpuMultipleClonerOptions:
        shard = False

    def index_cpu_to_all_gpus(self, index: Any, options: Any) -> "IndexFake":
        return IndexFake(index)

    class GpuParameterSpace:
        def set_index_parameter(self, index: "IndexFake", name: str, value: int) -> None:
            assert 1 <= value <= MOST_FOUND
            faiss.ParameterSpace().set_index_parameter(index.inner, name, value)


class IndexFake:
    """An index that would be on a GPU."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def search(self, queries: NDArray[np.float32], wanted: int) -> Any:
        if wanted > MOST_FOUND:
            raise RuntimeError(f"GPU index only supports min/max-K selection up to {MOST_FOUND}")
        return self.inner.search(queries, wanted)
