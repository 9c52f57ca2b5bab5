"""How fast sentences become vectors, on one thread: one at a time, features included, and in batches.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_encode --bundle RUN/bundle
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.data import data_folder, read_texts
from model.contract.bundle import load_bundle
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import Features, TextContract


class _RecordingEncoder:
    """Times the bare ONNX Runtime call inside the whole one, so that both see the same machine."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.times: list[float] = []
        self._run = encoder.run
        encoder.run = self  # type: ignore[method-assign]

    def __call__(self, features: Features) -> np.ndarray:
        started = time.perf_counter()
        result = self._run(features)
        self.times.append(time.perf_counter() - started)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", default="banking77")
    options = parser.parse_args()
    texts = read_texts(data_folder() / options.data / "test.tsv")
    encoder = load_bundle(options.bundle).encoder
    encoder.encode(texts[:50])
    _forget_words(encoder.contract)
    bare = _RecordingEncoder(encoder)
    whole = []
    for text in texts:
        started = time.perf_counter()
        encoder.encode([text])
        whole.append(time.perf_counter() - started)
    whole_ms, bare_ms = np.median(whole) * 1e3, np.median(bare.times) * 1e3
    started = time.process_time()
    together = encoder.encode(texts)
    seconds = time.process_time() - started
    alone = np.concatenate([encoder.encode([text]) for text in texts[:500]])
    rows = {
        "one sentence, text to vector, cold word cache, median": f"{whole_ms:.3f} ms",
        "  99th percentile": f"{np.quantile(whole, 0.99) * 1e3:.3f} ms",
        "the bare ONNX Runtime call inside it, median": f"{bare_ms:.3f} ms, ratio {whole_ms / bare_ms:.2f}",
        f"all {len(texts)} sentences in batches, CPU time": f"{len(texts) / seconds:,.0f} sentences/s",
        "alone against in a batch, largest difference": f"{np.abs(alone - together[:500]).max():.1e}",
    }
    for name, value in rows.items():
        print(f"{name:56} {value}")


def _forget_words(contract: TextContract) -> None:
    """Leave only what loading itself prepares."""
    contract._words.clear()
    contract.warm_up()


if __name__ == "__main__":
    main()
