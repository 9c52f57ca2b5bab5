"""What a recipe leaves open is chosen from the data, and said aloud."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from model.config import Config, LastLayer, MultiLabelLoss, Objective, Split, TableStart

_SMALL_GROUP = 8
"""Below this median size, and with many groups, a class vector a group has too little to learn from (docs/log.md)."""

_MANY_GROUPS = 200

_LARGE_GROUP = 40
"""From this median size on, class vectors alone do as well as together with pairs, in less time."""

_MOST_REFIT = 20_000

_SENTENCES_SEEN = 25_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 8, 25

_MOST_FULL_HEAD = 10_000
"""With more groups than this a step over all class vectors costs more than the encoder."""

_SAMPLED = 1000

FEWEST_STRANGERS = 20
"""Fewer out-of-scope rows than these are all needed for the threshold."""


class Kind(StrEnum):
    """What a file says about each sentence."""

    GROUPS = "groups"
    LABELS = "labels"
    SENTENCES = "sentences"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the choices depend on.

    Attributes:
        kind: One group a sentence, several labels, or nothing.
        sizes: Sentences of each group or label.
        n_sentences: In the file.
        n_strangers: Sentences of no group among them that may be learnt from.
    """

    kind: Kind
    sizes: Sequence[int]
    n_sentences: int
    n_strangers: int = 0


def settle(config: Config, shape: Shape, *, has_valid: bool) -> tuple[Config, str]:
    """Fill in the objective and the settings that depend on it.

    Args:
        config: As the recipe and the user gave it.
        shape: Of the data.
        has_valid: Whether the user gave validation rows, which then are not to be learnt from.

    Returns:
        The settings with nothing left open, and a sentence that says what was chosen and why.
    """
    objective, why = choose_objective(config, shape)
    few_labelled = objective is Objective.MULTI_LABEL and shape.n_sentences < _SENTENCES_SEEN
    # words shared with the training sentences say much of a known group; an unseen one has words of its own
    lexical = objective.has_class_vectors or few_labelled
    unseen = objective in (Objective.IN_BATCH, Objective.SIM_CSE)
    many = objective.has_class_vectors and len(shape.sizes) > _MOST_FULL_HEAD
    chosen: dict[str, Any] = {
        "word_dim": 256 if lexical or unseen else 128,
        "table_start": TableStart.LEXICAL if lexical else TableStart.RANDOM,
        "epochs": _choose_epochs(shape.n_sentences),
        "batch_size": 128 if objective.has_pairs else 64,
        # a class vector needs its group in training; pairs are meant for groups that nobody has seen
        "split": Split.GROUPS if objective is Objective.IN_BATCH else Split.ROWS,
        # every tenth sentence counts, and training again costs little where there are not too many
        "refit": not has_valid and shape.n_sentences <= _MOST_REFIT,
        # lexical overlap tells less of unseen groups, which may differ by one word or share none across languages
        "bag_weight": 0.5 if unseen else 1.0,
    }
    if objective is Objective.IN_BATCH:
        chosen["temperature"] = 0.1
    if objective.has_class_vectors and shape.n_strangers >= FEWEST_STRANGERS:
        chosen["outlier_exposure_weight"] = 1.0
    if many:
        chosen["sampled_negatives"] = _SAMPLED
    if objective is Objective.MULTI_LABEL:
        chosen["scale"] = 10.0
    if few_labelled:
        # what measured best on nlupp_banking (docs/log.md)
        chosen |= {"multi_label_loss": MultiLabelLoss.BCE, "positive_weight": 3.0, "rdrop_alpha": 1.0}
        chosen |= {"last_layer": LastLayer.SVM_AND_WORDS, "batch_size": 32, "epochs": _MOST_EPOCHS}
    left_open = {name: value for name, value in chosen.items() if name not in config.model_fields_set}
    settled = config.model_copy(update={"objective": objective, **left_open})
    return settled, f"{why}; " + ", ".join(f"{name} {getattr(settled, name)}" for name in chosen)


def choose_objective(config: Config, shape: Shape) -> tuple[Objective, str]:
    """Pick the objective from the data unless the settings name one, and say why."""
    median = int(np.median(shape.sizes)) if shape.sizes else 0
    kind = "labels" if shape.kind is Kind.LABELS else "groups"
    described = f"{len(shape.sizes)} {kind}, median {median} sentences"
    if shape.kind is Kind.SENTENCES:
        described = f"{shape.n_sentences} sentences, whose groups are not asked for"
    if config.objective is not Objective.AUTO:
        return config.objective, f"objective {config.objective}, as set ({described})"
    if shape.kind is Kind.LABELS:
        return Objective.MULTI_LABEL, f"objective multi_label: {described}: several labels a sentence"
    if median < _SMALL_GROUP and len(shape.sizes) >= _MANY_GROUPS:
        return (
            Objective.IN_BATCH,
            f"objective in_batch: {described}, too few for a class vector each: pairs in the batch",
        )
    if median < _LARGE_GROUP:
        return Objective.JOINT, f"objective joint: {described}: a class vector a group, and pairs in the batch"
    return Objective.HEAD, f"objective head: {described}: a margin softmax with a class vector a group"


def _choose_epochs(n_sentences: int) -> int:
    """Enough epochs to visit some 25,000 sentences: 8 at least, 25 at most."""
    return min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, _SENTENCES_SEEN // max(1, n_sentences)))
