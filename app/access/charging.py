"""Counting what a request asks for against the rate of its key."""

from starlette.types import Scope

from app.access.caller import CALLER, Caller
from app.access.limits import Bucket
from app.access.refusals import REFUSAL, Refusal
from app.errors import RateLimitedError


def charge(scope: Scope, items: int) -> None:
    """Count the items of a request, sentences or records, once they are known; the first was counted at the door.

    Raises:
        RateLimitedError: They are too many for now.
    """
    caller: Caller = scope[CALLER]
    if caller.bucket is not None and items > 1:
        take(scope, caller.bucket, items - 1, taken=1)


def take(scope: Scope, bucket: Bucket, items: int, *, taken: int = 0) -> None:
    """Take items from a bucket, or note in the ASGI scope why the request is refused, and raise RateLimitedError."""
    try:
        bucket.take(items, taken=taken)
    except RateLimitedError:
        scope[REFUSAL] = Refusal.RATE
        raise
