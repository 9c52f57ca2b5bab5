"""SAMESAY_INDEX_DEVICE: the CPU unless something else is asked for, and no start without it."""

from pathlib import Path

import numpy as np
import pytest

from app import container
from app.errors import NoDeviceError
from app.serving.catalogue.entry import Entry
from app.serving.compacting import Compactor
from app.serving.snapshots.base import load_base
from app.settings import Settings
from index.backends import faiss_cpu, faiss_gpu
from index.backends.faiss_cpu import FlatIndex
from index.backends.faiss_gpu import GpuFlatIndex
from index.spec import Device, IndexKind, IndexSpec
from tests.fakes.gpu_faiss import GpuFaissFake
from tests.fakes.running import make_settings


def test_the_cpu_is_the_default_and_others_are_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().index_device is Device.CPU
    monkeypatch.setenv("SAMESAY_INDEX_DEVICE", "gpu-cagra")
    assert Settings().index_device is Device.GPU_CAGRA
    monkeypatch.setenv("SAMESAY_INDEX_DEVICE", "cuda:0")
    with pytest.raises(ValueError, match="'cpu', 'gpu' or 'gpu-cagra'"):
        Settings()


@pytest.mark.parametrize("wanted", ["gpu", "gpu-cagra"])
def test_a_server_does_not_start_without_the_gpu_it_is_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr(faiss_gpu, "load_faiss", lambda: GpuFaissFake(n_gpus=0))
    settings = make_settings(tmp_path / "data", index_device=wanted)
    with pytest.raises(NoDeviceError, match=rf"SAMESAY_INDEX_DEVICE is {wanted}: .* finds 0 of them"):
        container.build(settings)
    assert not settings.data.exists(), "nothing was touched"


def test_a_snapshot_is_searched_on_the_device_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (faiss_cpu, faiss_gpu):
        monkeypatch.setattr(module, "load_faiss", GpuFaissFake)
    monkeypatch.setattr("app.serving.snapshots.building.choose_spec", lambda *_: IndexSpec(kind=IndexKind.FLAT))
    vectors = np.tile(np.eye(8, dtype=np.float32), (400, 1))
    entries = [Entry(f"r{number}", "text", None) for number in range(3_200)]
    for wanted, kind in ((Device.GPU, GpuFlatIndex), (Device.CPU, FlatIndex)):
        compactor = Compactor(tmp_path / wanted, encoder_checksum="enc", dim=8, target_recall=0.9, device=wanted)
        built = compactor.write(iter([(np.arange(3_200), vectors, entries)]), applied_seq=1, tag=1)
        assert type(built.index) is kind
        assert built.folder is not None
        assert type(load_base(built.folder, encoder_checksum="enc", dim=8, device=wanted).index) is kind
