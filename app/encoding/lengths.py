"""Which sentences of a batch to encode together: padding costs time, and so does every call."""

from collections.abc import Sequence
from typing import Final

CALL_TOKENS: Final = 9
"""What one more call of the encoder costs, in padded tokens (about 35 us at 4 us a token, bi-GRU of 128 units)."""


def runs_of_similar_length(lengths: Sequence[int]) -> list[list[int]]:
    """Positions in order of length, cut where padding up to the next length would cost more than another call."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    runs: list[list[int]] = [order[:1]]
    for position in order[1:]:
        run = runs[-1]
        if (lengths[position] - lengths[run[-1]]) * len(run) > CALL_TOKENS:
            runs.append([position])
        else:
            run.append(position)
    return runs
