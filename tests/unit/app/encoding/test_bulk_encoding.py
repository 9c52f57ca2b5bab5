"""Encoding on several processors: the embeddings are those of one."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from app.encoding.bulk import encode_many
from model.contract.bundle import load_bundle
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import Features


def sentences() -> list[str]:
    """Of one token to seventy, some of them twice, in no order of length."""
    random = np.random.default_rng(0)
    return [" ".join(f"word{random.integers(500)}" for _ in range(length)) for length in random.integers(1, 71, 700)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the processors of a process are known on Linux alone")
@pytest.mark.parametrize("processors", [1, 2, 3, 64])
def test_embeddings_are_the_same_on_any_number_of_processors(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    encoder, texts = load_bundle(tiny_bundle).encoder, sentences()
    expected = np.concatenate([encoder.encode([text]) for text in texts])
    threads: set[str] = set()
    run = OnnxEncoder.run

    def told(self: OnnxEncoder, features: Features) -> object:
        threads.add(threading.current_thread().name)
        return run(self, features)

    monkeypatch.setattr(OnnxEncoder, "run", told)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    found = encode_many(encoder, texts)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert found.tobytes() == encoder.encode(texts).tobytes()
    others = {name for name in threads if name.startswith("bulk-encoder")}
    assert (len(others) >= 1) == (processors > 1)
    assert len(others) <= min(processors, 4)


def test_a_single_sentence_and_none_are_encoded_where_they_are(tiny_bundle: Path) -> None:
    encoder = load_bundle(tiny_bundle).encoder
    assert encode_many(encoder, ["reset my password"]).tobytes() == encoder.encode(["reset my password"]).tobytes()
    assert encode_many(encoder, []).shape == (0, encoder.dim)


def test_what_fails_in_one_of_the_threads_fails_here(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for this batch")

    encoder = load_bundle(tiny_bundle).encoder
    monkeypatch.setattr(OnnxEncoder, "run", fail)
    with pytest.raises(MemoryError, match="no room"):
        encode_many(encoder, sentences())
