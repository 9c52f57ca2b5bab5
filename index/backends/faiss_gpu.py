"""FAISS on GPUs: copies of what the CPU's back ends hold, made when a snapshot is loaded.

The vectors stay on the CPU as well, and every score that is answered is computed from them there: the GPU finds
candidates. Codes that are scanned fast have no form for it, so the lists that were learned for them are filled with the
vectors themselves. Few indexes on a GPU take a filter: a search with one asks for more rows and drops what it does not
leave, and where that would be too many, the CPU scores what it leaves. Changes since the snapshot are searched by the
CPU, exactly.
"""

import math
import threading
from abc import abstractmethod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.backends.exact import SPARE
from index.backends.faiss_cpu import FaissIndex, load_faiss
from index.backends.faiss_ivf import EXACT_ROWS, IvfPqIndex, lists_for, more_uneven_lists
from index.backends.filters import RowFilter
from index.backends.rows import FrozenIndex, Rows
from index.backends.trial import make_trials
from index.backends.tuning import measure_by_search
from index.errors import DeviceError
from index.spec import Device, IndexSpec
from index.types import Neighbours, Vectors

MOST_FOUND: Final = 2_048
"""FAISS finds no more for one query on a GPU, and looks into no more lists."""

ROUGH: Final = 1e-4
"""How far a score that the GPU computed may be off."""

BREADTHS: Final = (64, 128, 256, 512)
"""Candidates that a search along the graph keeps on its way, as tried, least first."""


def require_gpu(device: Device) -> None:
    """Refuse a device that this process cannot use.

    Raises:
        DeviceError: Naming what was found, and the command or setting that mends it.
        BackendMissingError: FAISS is not installed.
    """
    if device is Device.CPU:
        return
    faiss = load_faiss()
    built = f"faiss {faiss.__version__} ({faiss.get_compile_options().strip()})"
    if not hasattr(faiss, "StandardGpuResources"):
        raise DeviceError(
            f"the index is to be on a GPU, and {built} is built without GPUs: pip uninstall -y faiss-cpu onnxruntime "
            "&& pip install 'samesay[gpu]', or set the device to cpu"
        )
    if faiss.get_num_gpus() == 0:
        raise DeviceError(
            f"the index is to be on a GPU, and {built} finds 0 of them: see what nvidia-smi says, "
            "or set the device to cpu"
        )
    if device is Device.GPU_CAGRA and not hasattr(faiss, "GpuIndexCagra"):
        raise DeviceError(f"{built} has no CAGRA: take a build with cuVS, or set the device to gpu")


def clone_to_gpu(index: FrozenIndex, device: Device) -> FrozenIndex:
    """Copy an index to the GPUs: to all of them, a part on each; for CAGRA, to the first.

    One that NumPy searches exactly stays where it is, since it is small and there is nothing to win; so does one that
    is on a server.

    Raises:
        DeviceError: There is no GPU, or it has no room.
    """
    if not isinstance(index, FaissIndex) or len(index) <= EXACT_ROWS:
        return index
    require_gpu(device)
    try:
        if device is Device.GPU_CAGRA:
            return _tuned(GpuCagraIndex(index.rows, spec=index.spec))
        if isinstance(index, IvfPqIndex):
            return GpuListsIndex(index.rows, index.fill_lists(), spec=index.spec, index_recall=index.index_recall)
        return GpuFlatIndex(index.rows, spec=index.spec)
    except RuntimeError as error:
        raise DeviceError(
            f"{len(index)} vectors of dim {index.dim} cannot be put on the GPU ({error}): "
            "set the device to cpu, or free its memory"
        ) from error


class GpuIndex(FaissIndex):
    """What the kinds share. Threads may search at once; they take turns.

    Args:
        rows: The rows; row r is the r-th on the GPU.
        spec: As on the CPU.
        index_recall: As measured.
    """

    is_exact = False

    def __init__(self, rows: Rows, *, spec: IndexSpec, index_recall: float) -> None:
        super().__init__(rows, threads=1)
        self.spec, self.index_recall = spec, index_recall
        # FAISS keeps one stream and one scratch memory for each GPU's resources: no two searches at once.
        self._searching = threading.Lock()

    @abstractmethod
    def find(
        self, queries: Vectors, wanted: int, k: int, only: RowFilter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Rows that look best, whatever the filter leaves.

        Args:
            queries: (n_queries, dim) float32.
            wanted: Rows for each.
            k: How many of them are to be answered.
            only: The filter that they will be put through.

        Returns:
            (n_queries, wanted) float32 scores, and int64 rows, -1 where there is none.
        """

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex."""
        wanted = self._wanted(k, only)
        if wanted > min(MOST_FOUND, len(self)):
            return self.exact(queries, k, only)
        with self._searching:
            near, found = self.find(queries, wanted, k, only)
        if only is not None:
            found[~only.mask[found]] = -1
        best = self.best_of(queries, found, k)
        doubtful = best.record_ids[:, -1] < 0
        if self.is_exact:
            doubtful |= near[:, -1] >= best.scores[:, -1] - ROUGH
        return self.settle(best, doubtful, queries, only)

    def _wanted(self, k: int, only: RowFilter | None) -> int:
        if only is None:
            return k + SPARE
        if not only.count:
            return MOST_FOUND + 1
        # Twice the rows that would do if the filter did not care where they lie; tombstones hardly do.
        return math.ceil((1 if only.is_light else 2) * (k + SPARE) * len(self) / only.count)


class GpuFlatIndex(GpuIndex):
    """Every row is scored."""

    is_exact = True

    def __init__(self, rows: Rows, *, spec: IndexSpec) -> None:
        super().__init__(rows, spec=spec, index_recall=1.0)
        flat = self.faiss.IndexFlatIP(rows.dim)
        flat.add(rows.vectors)
        self._on_gpu = _on_all_gpus(self.faiss, flat)

    def find(
        self, queries: Vectors, wanted: int, k: int, only: RowFilter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See GpuIndex."""
        near, found = self._on_gpu.search(queries, wanted)
        return near, found


class GpuListsIndex(GpuIndex):
    """The rows of the nearest lists are scored.

    Args:
        rows: The rows.
        lists: A FAISS index of them on the CPU: lists of vectors.
        spec: nlist and nprobe, as tuned for codes: their recall is a little less.
        index_recall: As measured for the codes.
    """

    def __init__(self, rows: Rows, lists: Any, *, spec: IndexSpec, index_recall: float) -> None:
        super().__init__(rows, spec=spec, index_recall=index_recall)
        self._on_gpu = _on_all_gpus(self.faiss, lists)
        self._parameters = self.faiss.GpuParameterSpace()

    def find(
        self, queries: Vectors, wanted: int, k: int, only: RowFilter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See GpuIndex."""
        nprobe = lists_for(self.spec, len(self), k, only)
        if only is not None and not only.is_light:
            nprobe = math.ceil(nprobe * more_uneven_lists(only.count / len(self)))
        # On several GPUs a search takes no parameters of its own.
        self._parameters.set_index_parameter(self._on_gpu, "nprobe", min(nprobe, self.spec.nlist, MOST_FOUND))
        near, found = self._on_gpu.search(queries, wanted)
        return near, found


class GpuCagraIndex(GpuIndex):
    """Rows are found along a graph of neighbours, which is built here and kept nowhere else.

    Source: Ootomo et al. 2023, arXiv:2308.15136.
    """

    def __init__(self, rows: Rows, *, spec: IndexSpec) -> None:
        super().__init__(rows, spec=spec, index_recall=math.nan)
        self.breadth = BREADTHS[0]
        faiss = self.faiss
        self._resources = faiss.StandardGpuResources()
        metric = faiss.METRIC_INNER_PRODUCT
        self._on_gpu = faiss.GpuIndexCagra(self._resources, rows.dim, metric, faiss.GpuIndexCagraConfig())
        self._on_gpu.train(rows.vectors)

    def find(
        self, queries: Vectors, wanted: int, k: int, only: RowFilter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See GpuIndex."""
        breadth = max(self.breadth, 1 << (wanted - 1).bit_length())
        near, found = self._on_gpu.search(queries, wanted, params=self.faiss.SearchParametersCagra(itopk_size=breadth))
        return near, found


def _tuned(index: GpuCagraIndex) -> GpuCagraIndex:
    """With the least breadth that reaches the target."""
    tuning, measuring = make_trials(index.rows, None)
    for breadth in BREADTHS:
        index.breadth = breadth
        if measure_by_search(index, tuning) >= index.spec.target_recall:
            break
    index.index_recall = measure_by_search(index, measuring)
    return index


def _on_all_gpus(faiss: Any, index: Any) -> Any:
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    return faiss.index_cpu_to_all_gpus(index, options)
