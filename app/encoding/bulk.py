"""Encoding thousands of sentences that nobody waits for: on several processors, after whoever else wants them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.priority import let_others_go_first
from model.contract.onnx_encoder import OnnxEncoder

_MOST_THREADS: Final = 4
"""With more, what Python does between two calls of the encoder is what takes the time."""

_NICENESS: Final = 10
"""Below that of a worker that stores what is to be encoded: what is stored cannot be lost, and may wait."""


def encode_many(encoder: OnnxEncoder, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Encode sentences on as many processors as this process may use, up to four; safe to call from several threads.

    Returns:
        (n, dim) float32, unit length, in the order given; the same as of `OnnxEncoder.encode`.
    """
    return encoder.encode(sentences, pool=_pool(_processors()))


@cache
def _pool(threads: int) -> ThreadPoolExecutor | None:
    """The threads, kept to the end of the process; None where the caller's own would be as fast."""
    if threads == 1:
        return None
    return ThreadPoolExecutor(threads, "bulk-encoder", initializer=partial(let_others_go_first, _NICENESS))


def _processors() -> int:
    can_tell = hasattr(os, "sched_getaffinity")
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1)
