"""Sentences of no group made to choose a threshold by, where too few real ones are given.

A threshold wants to know how near to a group a sentence comes that belongs to none. Training sentences whose telling
words were exchanged come as near as real strangers do: of several ways to make them these chose thresholds that were
next to the best on real ones (docs/adr/0032).
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np

from model.contract.dataset import Row
from model.contract.normalise import same_text_key
from model.data.outliers import synthesise_outliers

ENOUGH: Final = 50
"""Given ones that need none beside them. Of a few, which these happen to be decides more than what strangers are like."""

_MOST: Final = 2000

_EXCHANGED: Final = (0.2, 0.5)
"""Share of the words: fewer than to learn from, for the nearest strangers are those that a threshold must refuse."""

_SEED: Final = 0x57A7
_DRAWS: Final = 3
"""For each that is wanted: a draw may be a sentence that is stored."""


def make_strangers(rows: Sequence[Row], n_given: int) -> list[str]:
    """Sentences of no group beside those given: as many as are wanting, or with none given as many as there are rows.

    Always the same for the same rows. Fewer, down to none, where sentences are single words: these cannot be taken
    apart, and another word is another group's.

    Args:
        rows: Of the training file and held out.
        n_given: Real ones.
    """
    wanted = max(0, ENOUGH - n_given) if n_given else min(_MOST, max(ENOUGH, len(rows)))
    if not (wanted and rows):
        return []
    texts, groups = [row.text for row in rows], [row.group or "" for row in rows]
    known = {same_text_key(text) for text in texts}
    rng = np.random.default_rng(_SEED)
    drawn = synthesise_outliers(texts, groups, _DRAWS * wanted, rng, _EXCHANGED)
    return list(islice((text for text in drawn if same_text_key(text) not in known), wanted))
