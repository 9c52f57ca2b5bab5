"""Which sentences no training learns from, so that every release can be judged by them: a pure function of the text."""

import hashlib
from collections.abc import Sequence
from typing import Final

from model.contract.dataset import Row, keep_out_key

KEPT_OUT: Final = 0.1
"""Share that retrainings keep out."""

_BITS: Final = 64


def is_kept_out(text: str, share: float) -> bool:
    """Whether a sentence is among those that are kept out.

    That is so where the first 64 bits of the SHA-256 of its `keep_out_key`, as a fraction of what they can be, are
    below the share: the same in every training and on every machine, alike for all ways to write the sentence, and more
    sentences at a larger share, never others.

    Args:
        text: The sentence.
        share: In [0, 1].
    """
    digest = hashlib.sha256(keep_out_key(text).encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[: _BITS // 8], "big") < int(share * 2**_BITS)


def without_kept_out(rows: Sequence[Row], share: float) -> list[Row]:
    """The rows that may be learned from."""
    return [row for row in rows if not is_kept_out(row.text, share)] if share else list(rows)
