"""Making the next while the one before is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def one_ahead(parts: Iterator[T]) -> Generator[T, None, None]:
    """Hand out what an iterator makes, in order, while it makes the next one on another thread.

    What it raises is raised where that part would have come. Close it to have the thread ended.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(_next, parts)
        while made := coming.result():
            coming = thread.submit(_next, parts)
            yield from made


def _next(parts: Iterator[T]) -> tuple[T, ...]:
    """The next part; nothing at the end, since a future carries no StopIteration."""
    return tuple(islice(parts, 1))
