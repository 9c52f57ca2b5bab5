"""Token buckets against a plain count of what came in, with a clock that the test turns."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.limits import Bucket
from app.errors import RateLimitedError


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(bucket: Bucket, items: int) -> bool:
    """What the door and the endpoint do together."""
    try:
        bucket.take(1)
        if items > 1:
            bucket.take(items - 1, taken=1)
    except RateLimitedError:
        return False
    return True


def test_whoever_is_hardly_let_in_is_told_a_wait_that_a_header_holds() -> None:
    bucket = Bucket(5e-324, 1, Clock())
    bucket.take(1)
    with pytest.raises(RateLimitedError) as refused:
        bucket.take(1)
    assert refused.value.retry_after_s == 24 * 3600


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    bucket = Bucket(2.0, 3, clock)
    assert [ask(bucket, 1) for _ in range(4)] == [True, True, True, False]
    clock.now += 0.5
    assert [ask(bucket, 1) for _ in range(2)] == [True, False]
    clock.now += 1000
    assert [ask(bucket, 1) for _ in range(4)] == [True, True, True, False]


def test_what_is_larger_than_the_bucket_passes_once_it_is_full_and_is_paid_off() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 5, clock)
    assert ask(bucket, 100)
    with pytest.raises(RateLimitedError) as refused:
        bucket.take(1)
    assert refused.value.retry_after_s == math.ceil((1 + 95) / 10)
    clock.now += 9.5
    assert not ask(bucket, 1)
    clock.now += 0.11
    assert ask(bucket, 1)


def test_what_is_refused_takes_nothing() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 20, clock)
    assert ask(bucket, 20)
    tries = 0
    while not ask(bucket, 20):
        clock.now += 0.125
        tries += 1
    assert tries == 16, "the bucket fills as if nobody had asked"


def test_it_may_be_repeated_when_it_was_said() -> None:
    clock = Clock()
    bucket = Bucket(0.7, 10, clock)
    assert ask(bucket, 10)
    with pytest.raises(RateLimitedError, match=r"0\.7 items a second, 10 at once: repeat it in 10 s") as said:
        bucket.take(7)
    clock.now += said.value.retry_after_s
    assert ask(bucket, 7)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 80)), min_size=1, max_size=60),
)
def test_no_more_passes_than_the_rate_lets(rate: float, burst: int, steps: list[tuple[float, int]]) -> None:
    """In any span: at most the burst, what the time brings, and one request that is larger than the bucket.

    A request that its items refuse has taken one for the look at it: those count too.
    """
    clock = Clock()
    bucket = Bucket(rate, burst, clock)
    passed, largest, n_looks = 0, 0, 0
    for pause, items in steps:
        clock.now += pause
        if ask(bucket, items):
            passed += items
            largest = max(largest, items)
        else:
            n_looks += 1
        assert passed <= burst + rate * (clock.now - 100.0) + largest + 1e-6
    clock.now += (burst + largest + n_looks + 1) / rate + 1
    assert ask(bucket, 80), "nobody is refused for ever"
