"""What a recipe leaves open is chosen from the data, and said aloud."""

from collections.abc import Sequence

import numpy as np

from model.config import Config, Objective, Split, TableStart

_SMALL_GROUP = 8
"""Below this median size, and with many groups, a class vector a group has too little to learn from (docs/log.md)."""

_MANY_GROUPS = 200

_LARGE_GROUP = 40
"""From this median size on, class vectors alone do as well as together with pairs, in less time."""

_MOST_REFIT = 20_000

_SENTENCES_SEEN = 25_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 8, 25


def settle(config: Config, group_sizes: Sequence[int], *, has_valid: bool) -> tuple[Config, str]:
    """Fill in the objective and the settings that depend on it.

    Args:
        config: As the recipe and the user gave it.
        group_sizes: Sentences of each group.
        has_valid: Whether the user gave validation rows, which then are not to be learnt from.

    Returns:
        The settings with nothing left open, and a sentence that says what was chosen and why.
    """
    objective, why = choose_objective(config, group_sizes)
    pairs, few = objective is not Objective.HEAD, objective is Objective.JOINT
    chosen = {
        "word_dim": 256 if few else 128,
        "table_start": TableStart.LEXICAL if few else TableStart.RANDOM,
        "epochs": _choose_epochs(sum(group_sizes)),
        "batch_size": 128 if pairs else 64,
        # lexical overlap helps to name a known group, and misleads where unseen groups differ by one word
        # a class vector needs its group in training; pairs are meant for groups that nobody has seen
        "split": Split.GROUPS if objective is Objective.IN_BATCH else Split.ROWS,
        # every tenth sentence counts, and training again costs little where there are not too many
        "refit": not has_valid and sum(group_sizes) <= _MOST_REFIT,
        "bag_weight": 0.0 if objective is Objective.IN_BATCH else 1.0,
    }
    left_open = {name: value for name, value in chosen.items() if name not in config.model_fields_set}
    settled = config.model_copy(update={"objective": objective, **left_open})
    return settled, f"{why}; " + ", ".join(f"{name} {getattr(settled, name)}" for name in chosen)


def choose_objective(config: Config, group_sizes: Sequence[int]) -> tuple[Objective, str]:
    """Pick the objective from the group sizes unless the settings name one, and say why."""
    median = int(np.median(group_sizes)) if group_sizes else 0
    shape = f"{len(group_sizes)} groups, median {median} sentences"
    if config.objective is not Objective.AUTO:
        return config.objective, f"objective {config.objective}, as set ({shape})"
    if median < _SMALL_GROUP and len(group_sizes) >= _MANY_GROUPS:
        return Objective.IN_BATCH, f"objective in_batch: {shape}, too few for a class vector each: pairs in the batch"
    if median < _LARGE_GROUP:
        return Objective.JOINT, f"objective joint: {shape}: a class vector a group, and pairs in the batch"
    return Objective.HEAD, f"objective head: {shape}: AM-Softmax with a class vector a group"


def _choose_epochs(n_sentences: int) -> int:
    """Enough epochs to visit some 25,000 sentences: 8 at least, 25 at most."""
    return min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, _SENTENCES_SEEN // max(1, n_sentences)))
