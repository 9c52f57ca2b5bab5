"""What the encoder itself makes of sentences: the oracle of every route that answers vectors or cosines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract.bundle import load_bundle

ROUNDING = 1e-6
"""float32 vectors of unit length, whose products are summed in another order."""


def encoded(bundle: Path, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Each sentence encoded alone, past all of the service: (n, dim)."""
    encoder = load_bundle(bundle).encoder
    return np.concatenate([encoder.encode([sentence]) for sentence in sentences])


def n_tokens(bundle: Path, sentences: Sequence[str]) -> int:
    """Tokens of all of them together."""
    contract = load_bundle(bundle).encoder.contract
    return sum(len(contract.tokenise(sentence)) for sentence in sentences)
