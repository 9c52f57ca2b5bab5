"""Indexes on a GPU give the answers that every back end gives. Without one, the same code runs over a fake of FAISS."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index.backends import faiss_cpu, faiss_gpu
from index.backends.faiss_gpu import GpuIndex, clone_to_gpu, require_gpu
from index.errors import DeviceError
from index.factory import build
from index.interface import IndexReader
from index.live import LiveIndex
from index.snapshot import Snapshot, load_snapshot, save_snapshot
from index.spec import Device, IndexKind, IndexSpec
from index.types import Ids, Vectors
from tests.conformance import test_index_backends as suite
from tests.fakes.gpu_faiss import GpuFaissFake
from tests.fakes.index_oracle import index_recall, make_vectors, oracle

MakeIndex = Callable[[Ids, Vectors], IndexReader]

FAKE = "a fake of FAISS"


def pretend(monkeypatch: pytest.MonkeyPatch, faked: GpuFaissFake) -> None:
    for module in (faiss_cpu, faiss_gpu):
        monkeypatch.setattr(module, "load_faiss", lambda: faked)


@pytest.fixture(params=[FAKE, Device.GPU, Device.GPU_CAGRA])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    if request.param == FAKE:
        pretend(monkeypatch, GpuFaissFake())
        return Device.GPU
    wanted: Device = request.param
    try:
        require_gpu(wanted)
    except DeviceError as error:
        pytest.skip(f"no GPU: {error}")
    return wanted


def on_gpu(kind: IndexKind, device: Device) -> MakeIndex:
    return lambda ids, vectors: clone_to_gpu(build(ids, vectors, IndexSpec(kind=kind)), device)


def changed_over_gpu(kind: IndexKind, device: Device) -> MakeIndex:
    """A LiveIndex over a base on the GPU, with changes and tombstones."""

    def make(ids: Ids, vectors: Vectors) -> IndexReader:
        late = np.arange(len(ids)) % 10 == 0
        gone = np.arange(len(ids) // 9) + ids.max(initial=0) + 1
        base_ids = np.concatenate([ids[~late], gone])
        base = np.concatenate([vectors[~late], np.roll(vectors[: len(gone)], 3, axis=1)])
        index = LiveIndex(on_gpu(kind, device)(base_ids, base))  # type: ignore[arg-type]
        index.apply(ids[late], vectors[late], gone, 1)
        return index

    return make


ways = pytest.mark.parametrize("how", [on_gpu, changed_over_gpu])
kinds = pytest.mark.parametrize("kind", [IndexKind.FLAT, IndexKind.IVF_PQ])


@kinds
@ways
def test_every_kind_passes_what_every_back_end_passes(
    device: Device, kind: IndexKind, how: Callable[[IndexKind, Device], MakeIndex]
) -> None:
    make_index = how(kind, device)
    for dim in (33, 100):
        suite.test_clustered_vectors_of_any_dim(make_index, dim)
    for n in (0, 3, 260):
        suite.test_few_records_are_all_answered(make_index, n)
    suite.test_no_queries_give_no_rows(make_index)
    suite.test_ids_may_be_sparse_and_large(make_index)
    suite.test_allowed_masks_fill_k_and_never_leak(make_index)
    suite.test_scores_do_not_depend_on_the_batch(make_index)
    suite.test_wrong_arguments_are_refused_by_name(make_index)


@kinds
def test_equal_vectors_fill_k(device: Device, kind: IndexKind) -> None:
    if device is Device.GPU_CAGRA:
        pytest.skip("a graph does not lead through hundreds of equal vectors")
    suite.test_duplicates_fill_k_with_the_best_score(on_gpu(kind, device))
    suite.test_one_vector_for_all_records(on_gpu(kind, device))


@ways
def test_all_rows_scored_give_exact_answers(device: Device, how: Callable[[IndexKind, Device], MakeIndex]) -> None:
    if device is Device.GPU_CAGRA:
        pytest.skip("a graph is not exact")
    suite.test_allowed_masks_exactly(how(IndexKind.FLAT, device))
    # More rows than are left to the CPU, and ties at the k-th place wider than the candidates.
    distinct = make_vectors(64, 40, seed=3, n_groups=64)
    ids = np.random.default_rng(2).permutation(6_400).astype(np.int64)
    index = how(IndexKind.FLAT, device)(ids, distinct[np.arange(6_400) % 64])
    found = index.search(distinct, 20)
    for row in range(64):
        assert found.record_ids[row].tolist() == sorted(ids[row::64].tolist())[:20]


@kinds
def test_a_loaded_snapshot_is_put_on_the_gpu(device: Device, kind: IndexKind, tmp_path: Path) -> None:
    folder = tmp_path / "7"
    vectors = make_vectors(6_000, 32, seed=4)
    index = build(np.arange(6_000), vectors, IndexSpec(kind=kind))
    save_snapshot(folder, Snapshot(index=index, encoder_checksum="enc-a", applied_seq=7))
    loaded = load_snapshot(folder, encoder_checksum="enc-a", dim=32, device=device).index
    assert isinstance(loaded, GpuIndex)
    queries = make_vectors(40, 32, seed=5)
    expected = oracle(np.arange(6_000), vectors, queries, 10)
    assert index_recall(loaded.search(queries, 10), expected) >= 0.95


def test_a_small_exact_index_stays_on_the_cpu(device: Device) -> None:
    index = build(np.arange(50), make_vectors(50, 8), IndexSpec(kind=IndexKind.EXACT))
    assert clone_to_gpu(index, device) is index


def test_without_a_gpu_the_build_and_the_remedy_are_named() -> None:
    faiss = faiss_cpu.load_faiss()
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        pytest.skip("there is a GPU")
    require_gpu(Device.CPU)
    index = build(np.arange(3_000), make_vectors(3_000, 8), IndexSpec(kind=IndexKind.FLAT))
    for refuse in (lambda: require_gpu(Device.GPU), lambda: clone_to_gpu(index, Device.GPU)):
        with pytest.raises(DeviceError, match=rf"faiss {faiss.__version__} .*(nvidia-smi|pip install)"):
            refuse()


def test_a_build_for_gpus_that_finds_none_and_one_without_cagra_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, GpuFaissFake(n_gpus=0))
    with pytest.raises(DeviceError, match="finds 0 of them: see what nvidia-smi says"):
        require_gpu(Device.GPU)
    pretend(monkeypatch, GpuFaissFake())
    with pytest.raises(DeviceError, match="has no CAGRA: take a build with cuVS"):
        require_gpu(Device.GPU_CAGRA)


def test_a_gpu_without_room_is_said_with_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(GpuFaissFake):
        def index_cpu_to_all_gpus(self, index: object, options: object) -> None:
            raise RuntimeError("out of memory")

    pretend(monkeypatch, Full())
    index = build(np.arange(3_000), make_vectors(3_000, 8), IndexSpec(kind=IndexKind.FLAT))
    with pytest.raises(DeviceError, match=r"3000 vectors of dim 8 cannot be put on the GPU \(out of memory\)"):
        clone_to_gpu(index, Device.GPU)
