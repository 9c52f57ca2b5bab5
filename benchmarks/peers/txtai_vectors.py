"""Embeddings for txtai by their sentences: read from a file, so that they count neither as its memory nor as its work.

Runs in the peers' Python: NumPy and the standard library only.
"""

import os
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = "BENCH_VECTORS"
"""Environment variable: where `save` has put the files."""


def save(texts: Sequence[str], vectors: Sequence[NDArray[np.float32]], folder: Path) -> None:
    """Write the embeddings of these sentences, in the order of the sentences' hashes.

    Args:
        texts: n different sentences.
        vectors: Parts that make (n, dim) together.
        folder: Takes the files.
    """
    hashes = np.array([_hash(text) for text in texts])
    order = np.argsort(hashes)
    np.save(folder / "hashes.npy", hashes[order])
    (folder / "vectors.bin").write_bytes(np.concatenate(vectors)[order].tobytes())


def lookup(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, dim) embeddings of sentences that were saved.

    Raises:
        KeyError: One was not.
    """
    hashes, file, row_bytes = _opened()
    wanted = np.array([_hash(text) for text in texts])
    rows = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
    if (hashes[rows] != wanted).any():
        raise KeyError("a sentence without an embedding")
    parts = [os.pread(file, row_bytes, int(row) * row_bytes) for row in rows]
    return np.frombuffer(b"".join(parts), np.float32).reshape(len(texts), -1)


@cache
def _opened() -> tuple[NDArray[np.uint64], int, int]:
    """Hashes, file descriptor, bytes of an embedding."""
    folder = Path(os.environ[FOLDER])
    hashes, path = np.load(folder / "hashes.npy"), folder / "vectors.bin"
    return hashes, os.open(path, os.O_RDONLY), path.stat().st_size // len(hashes)


def _hash(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little"))
