"""What a key may allow."""

from enum import StrEnum
from typing import Final


class KeyScope(StrEnum):
    """One kind of request. A key has some of them; the key in SAMESAY_API_KEY has all."""

    ENCODE = "encode"
    SEARCH = "search"
    CLASSIFY = "classify"
    DATA_READ = "data:read"
    DATA_WRITE = "data:write"
    FEEDBACK = "feedback"
    TRAIN = "train"
    RELEASE = "release"
    ADMIN = "admin"
    METRICS = "metrics"


EVERY_SCOPE: Final = frozenset(KeyScope)

OF_NO_COLLECTION: Final = frozenset({KeyScope.ENCODE, KeyScope.ADMIN, KeyScope.METRICS})
"""What is about the server or its encoders: a key of some collections only cannot have these."""
