"""Many vectors as JSON, in turns with what else the event loop has to do."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

T = TypeVar("T")

_TURN: Final = 32_768
"""Numbers written in one turn of the event loop: about 2 ms."""


async def written(vectors: NDArray[np.float32], write: Callable[[NDArray[np.float32]], T]) -> list[T]:
    """Each vector as `write` writes it."""
    rows = max(1, _TURN // vectors.shape[1])
    found: list[T] = []
    for start in range(0, len(vectors), rows):
        if start:
            await asyncio.sleep(0)
        found.extend(write(vector) for vector in vectors[start : start + rows])
    return found


def as_numbers(vector: NDArray[np.float32]) -> orjson.Fragment:
    """A list of numbers, each as short as says which float32 it is."""
    return orjson.Fragment(orjson.dumps(np.ascontiguousarray(vector), option=orjson.OPT_SERIALIZE_NUMPY))
