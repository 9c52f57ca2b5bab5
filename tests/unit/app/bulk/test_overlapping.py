"""Parts that are made while the one before is used."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from app.bulk.overlapping import one_ahead


def test_all_come_in_order() -> None:
    assert list(one_ahead(iter([]))) == []
    assert list(one_ahead(iter([None, 0, [], 3]))) == [None, 0, [], 3]


def test_the_next_is_made_while_one_is_used_and_no_more() -> None:
    made: list[int] = []
    is_made = threading.Semaphore(0)

    def make() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            is_made.release()
            yield number

    with closing(one_ahead(make())) as parts:
        for number in parts:
            if number < 3:
                for _ in range(2 if number == 0 else 1):
                    assert is_made.acquire(timeout=10)
            assert made == list(range(min(number + 2, 4)))


def test_what_goes_wrong_is_raised_where_the_part_would_have_come() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("the file ends early")

    parts = one_ahead(make())
    assert next(parts) == 1
    with pytest.raises(ValueError, match="ends early"):
        next(parts)


def test_closing_it_ends_its_thread() -> None:
    parts = one_ahead(iter(range(10)))
    assert next(parts) == 0
    assert any(thread.name.startswith("ahead") for thread in threading.enumerate())
    parts.close()
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
