"""From vectors, or from the files of a snapshot, to an index."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from index.backends.exact import ExactIndex
from index.backends.faiss_cpu import FlatIndex
from index.backends.faiss_gpu import clone_to_gpu
from index.backends.faiss_ivf import IvfPqIndex, load_codes, train_codes
from index.backends.rows import FrozenIndex, Rows
from index.backends.trial import Trials, grow_trials, load_trials, make_trials
from index.backends.tuning import MARGIN, measure_recall, tune
from index.checks import check_vectors
from index.spec import MIN_IVF_ROWS, Device, IndexKind, IndexSpec, choose_nlist
from index.types import Vectors

ROWS_PER_LIST: Final = 16
"""At least so many rows for each list, whatever the spec asks for."""

MOST_LISTS: Final = 2
"""Lists taken over from another index are learned anew when more than so many times as many must be looked into."""


def build(
    record_ids: ArrayLike,
    vectors: Vectors,
    spec: IndexSpec,
    *,
    queries: Vectors | None = None,
    trained_from: FrozenIndex | None = None,
    in_haste: bool = False,
    build_threads: int = 1,
    search_threads: int = 1,
) -> FrozenIndex:
    """Build an index. It keeps arrays that are sorted by id already: do not change them afterwards.

    Args:
        record_ids: (n,) int64, non-negative, each once, in any order.
        vectors: (n, dim) float32, unit rows; dim is taken from here, n may be 0.
        spec: What to build. IVF_PQ below MIN_IVF_ROWS rows becomes EXACT, and the index's own spec says so.
        queries: (m, dim) float32 typical queries to tune with; None makes some from the vectors.
        trained_from: An index of about the same records, as the one to be replaced. Where what it learned still reaches
            the target with about as much work, it is taken over, which spares most of the time.
        in_haste: Take it over even where so many rows have been added that twice as many lists are wanted: while an
            import goes on, what is learned now is too little again within a minute.
        build_threads: OpenMP threads of the training.
        search_threads: OpenMP threads of each later search.

    Raises:
        InvalidInputError: Naming the wrong vector or id.
        BackendMissingError: The kind needs FAISS, which is not installed.
    """
    rows = Rows.sorted(record_ids, vectors)
    if spec.kind is IndexKind.FLAT:
        return FlatIndex(rows, threads=search_threads)
    if spec.kind is IndexKind.EXACT or len(rows) < MIN_IVF_ROWS:
        return ExactIndex(rows)
    if queries is not None:
        queries = check_vectors(queries, rows.dim)
    spec = replace(spec, nlist=max(1, min(spec.nlist or choose_nlist(len(rows)), len(rows) // ROWS_PER_LIST)))
    trained = trained_from if isinstance(trained_from, IvfPqIndex) and trained_from.dim == rows.dim else None
    are_added = trained is not None and rows.begin_with(trained.rows)
    kept = trained.trials if trained is not None and are_added and queries is None else None
    trials = make_trials(rows, queries) if kept is None else grow_trials(kept, rows)
    index = None
    if trained is not None and _fits(trained.spec, spec, in_haste=in_haste):
        index = _take_over(trained, rows, trials, are_added=are_added, threads=build_threads)
    if index is None:
        index = _train(rows, spec, trials, build_threads)
    index.threads = search_threads
    index.trials = trials if queries is None else None
    return index


def has_few_lists(index: FrozenIndex) -> bool:
    """Whether it has fewer lists than would be learned for its rows now, as one has that was built in haste."""
    spec = index.spec
    return isinstance(spec, IndexSpec) and spec.kind is IndexKind.IVF_PQ and spec.nlist < choose_nlist(len(index))


def restore(
    rows: Rows,
    spec: IndexSpec,
    index_recall: float,
    codes: Path,
    *,
    trials: Path | None = None,
    search_threads: int = 1,
) -> FrozenIndex:
    """Put a saved index together again.

    Args:
        rows: Its rows, ids ascending.
        spec: Its own spec, all parameters chosen.
        index_recall: As measured when it was built.
        codes: Where its FAISS index is, if it has one.
        trials: Where the trials are that it was measured with, if they were kept.
        search_threads: OpenMP threads of each search.

    Raises:
        ValueError: The codes or the trials are not of these rows.
        RuntimeError: FAISS cannot read the codes.
        BackendMissingError: The kind needs FAISS, which is not installed.
    """
    if spec.kind is IndexKind.EXACT:
        return ExactIndex(rows)
    if spec.kind is IndexKind.FLAT:
        return FlatIndex(rows, threads=search_threads)
    loaded = load_codes(codes)
    if (loaded.ntotal, loaded.d, loaded.nlist) != (len(rows), rows.dim, spec.nlist):
        raise ValueError(
            f"{loaded.ntotal} codes of dim {loaded.d} in {loaded.nlist} lists, "
            f"not {len(rows)} of dim {rows.dim} in {spec.nlist}"
        )
    kept = None if trials is None else load_trials(trials, rows)
    return IvfPqIndex(rows, loaded, spec=spec, index_recall=index_recall, threads=search_threads, trials=kept)


def place(index: FrozenIndex, device: Device) -> FrozenIndex:
    """The index where it is to be searched: itself on the CPU, else a copy.

    Raises:
        DeviceError: The device is not there, or has no room.
    """
    return index if device is Device.CPU else clone_to_gpu(index, device)


def _fits(learned: IndexSpec, wanted: IndexSpec, *, in_haste: bool) -> bool:
    """Whether what was learned for one spec will do for another, nprobe and rerank apart."""
    nlist = learned.nlist if in_haste and 2 * learned.nlist == wanted.nlist else wanted.nlist
    return replace(wanted, nlist=nlist) == replace(learned, nprobe=0, rerank=0)


def _take_over(trained: IvfPqIndex, rows: Rows, trials: Trials, *, are_added: bool, threads: int) -> IvfPqIndex | None:
    """What the other index learned, applied to these rows; None where it does not fit them."""
    codes = trained.refill(rows, are_added=are_added, threads=threads)
    if codes is None:
        return None
    index = IvfPqIndex(rows, codes, spec=trained.spec, index_recall=np.nan, threads=threads)
    target_recall, (tuning, measuring) = trained.spec.target_recall, trials
    index.index_recall = measure_recall(index, measuring)
    if index.index_recall < target_recall:
        index.spec = tune(index, tuning, target_recall)
        index.index_recall = measure_recall(index, measuring)
    reached = index.index_recall >= target_recall - MARGIN
    return index if reached and index.spec.nprobe <= MOST_LISTS * trained.spec.nprobe else None


def _train(rows: Rows, spec: IndexSpec, trials: Trials, threads: int) -> IvfPqIndex:
    codes = train_codes(rows.vectors, spec.nlist, threads=threads)
    spec = replace(spec, nprobe=min(spec.nprobe, spec.nlist))
    tuning, measuring = trials
    index = IvfPqIndex(rows, codes, spec=spec, index_recall=np.nan, threads=threads)
    if spec.nprobe == 0:
        index.spec = tune(index, tuning, spec.target_recall)
    index.index_recall = measure_recall(index, measuring)
    return index
