"""Bundles on the disk: several servers and commands may copy the same one at the same time."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.encoder.store import EncoderStore
from model.contract.bundle import load_bundle


@pytest.mark.parametrize("harm", [None, "damaged", "cut off"])
def test_many_that_copy_a_bundle_together_leave_it_whole(tmp_path: Path, tiny_bundle: Path, harm: str | None) -> None:
    """Containers have process ids of their own, so that two of them may have the same."""
    bundle = load_bundle(tiny_bundle)
    place = tmp_path / bundle.sha
    if harm is not None:
        shutil.copytree(tiny_bundle, place)
        (place / "encoder.onnx").write_bytes(b"" if harm == "damaged" else (tiny_bundle / "encoder.onnx").read_bytes())
        if harm == "cut off":
            (place / "manifest.json").unlink()
    with ThreadPoolExecutor(8) as threads:
        copied = [threads.submit(EncoderStore(tmp_path).copy, bundle) for _ in range(24)]
    assert {one.result() for one in copied} == {place}
    assert load_bundle(place).sha == bundle.sha
    assert list(tmp_path.iterdir()) == [place]
