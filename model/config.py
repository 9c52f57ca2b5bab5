"""Settings of a training run, typed and frozen, and the recipes that name good sets of them."""

import difflib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import ConfigError


class Objective(StrEnum):
    """What is minimised."""

    AUTO = "auto"
    HEAD = "head"
    IN_BATCH = "in_batch"
    JOINT = "joint"


class Pooling(StrEnum):
    """How the states of a sentence become one vector."""

    MAX = "max"
    MEAN = "mean"
    LAST = "last"


class Split(StrEnum):
    """What is held out for validation where no file is given."""

    GROUPS = "groups"
    ROWS = "rows"


class TableStart(StrEnum):
    """Where the token and gram rows begin."""

    RANDOM = "random"
    LEXICAL = "lexical"


class WeightConstraint(StrEnum):
    """What a weight matrix is held to."""

    NONE = "none"
    UNIT_NORM = "unit_norm"
    MAX_NORM = "max_norm"
    SPECTRAL_NORM = "spectral_norm"


class ConstraintBy(StrEnum):
    """Whether weights are put back after each step or expressed so that they cannot leave."""

    PROJECTION = "projection"
    PARAMETRISATION = "parametrisation"


class Config(BaseModel):
    """All settings of a run; `--set name=value` changes one.

    The objective `auto`, and word_dim, table_start, bag_weight, epochs, batch_size, split and refit where nobody
    set them, are chosen from the data (model/choices.py).

    Text:
        max_tokens: Tokens kept of a sentence.
        min_frequency: Times a word must occur in the training rows to get its own row.
        min_frequency_cjk: The same for a CJK character.
        buckets: Rows of the hashed gram table; 0 turns grams off.
    Encoder:
        word_dim: Width of a token vector.
        hidden_size: GRU units in each direction; the embedding is this wide, twice if bidirectional.
        num_layers, bidirectional, pooling: The recurrent part.
        bag_weight: Weight of the bag-of-tokens path beside the recurrent one; 0 turns it off.
        table_start: `random`, or `lexical`: from a latent semantic analysis of the training sentences.
        embedding_init_std: Standard deviation of the tables at the start.
        embedding_dropout, output_dropout: Rates, in training only.
    Objective:
        objective: `head` (AM-Softmax over groups), `in_batch` (margin softmax over pairs), `joint` (both) or `auto`.
        scale, margin: s and m of AM-Softmax.
        temperature, pair_margin: Of the in-batch softmax; the margin is a cosine.
        pair_weight: Weight of the in-batch loss beside the head's, in `joint`.
        hard_batches: Fill in-batch batches with neighbouring groups.
    Optimisation:
        epochs, batch_size: Passes over the data; sentences a step.
        learning_rate, schedule, warmup_share: Of Adam; warm-up as a share of all steps.
        clip_norm: Largest gradient norm, 0 for any.
    Run:
        split: What is held out, whole `groups` or single `rows`.
        refit: Train once more on all rows, the held-out ones too, after these have chosen the thresholds.
        valid_share, most_valid: Held out when no --valid is given: a share of the rows, and the most rows.
        storage: Number format of encoder.onnx.
        checkpoint_every_s: Seconds between checkpoints inside an epoch; each epoch ends with one anyway.
        threads: CPU threads, 0 for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(default=64, ge=1, le=512)
    min_frequency: int = Field(default=1, ge=1)
    min_frequency_cjk: int = Field(default=1, ge=1)
    buckets: int = Field(default=8192, ge=0, le=2**24)

    word_dim: int = Field(default=128, ge=8, le=1024)
    hidden_size: int = Field(default=128, ge=8, le=1024)
    num_layers: int = Field(default=1, ge=1, le=4)
    bidirectional: bool = True
    pooling: Pooling = Pooling.MAX
    bag_weight: float = Field(default=1.0, ge=0, le=10)
    table_start: TableStart = TableStart.RANDOM
    embedding_init_std: float = Field(default=0.1, gt=0)
    embedding_dropout: float = Field(default=0.3, ge=0, lt=1)
    output_dropout: float = Field(default=0.0, ge=0, lt=1)

    objective: Objective = Objective.AUTO
    scale: float = Field(default=30.0, gt=0)
    margin: float = Field(default=0.35, ge=0, lt=1)
    temperature: float = Field(default=0.05, gt=0)
    pair_margin: float = Field(default=0.2, ge=0, lt=1)
    pair_weight: float = Field(default=5.0, gt=0)
    hard_batches: bool = False

    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, ge=0)

    split: Split = Split.ROWS
    refit: bool = False
    valid_share: float = Field(default=0.1, gt=0, lt=1)
    most_valid: int = Field(default=1000, ge=1)
    storage: Literal["float32", "float16"] = "float16"
    checkpoint_every_s: float = Field(default=60.0, gt=0)
    threads: int = Field(default=0, ge=0)


RECIPES: Final[Mapping[str, Mapping[str, Any]]] = {
    # what measured best from scratch (docs/log.md)
    "default": {},
    # the 2018 post: one GRU, last state, constant Adam; see docs/methods.md for the four departures
    "classic": {
        "buckets": 0,
        "max_tokens": 32,
        "min_frequency_cjk": 5,
        "bidirectional": False,
        "pooling": "last",
        "bag_weight": 0.0,
        "embedding_init_std": 0.03,
        "embedding_dropout": 0.0,
        "objective": "head",
        "split": "groups",
        "epochs": 15,
        "batch_size": 100,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup_share": 0.0,
        "clip_norm": 0.0,
    },
    # seconds, for tests of the life cycle; its quality is of no interest
    "smoke": {"buckets": 512, "word_dim": 16, "hidden_size": 16, "epochs": 2, "threads": 1},
}


def make_config(recipe: str, settings: Sequence[str] = ()) -> Config:
    """A recipe with settings of the form name=value applied to it.

    Raises:
        ConfigError: Unknown recipe or name (the nearest one is suggested), or a value out of range.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"no recipe {recipe!r}{_nearest(recipe, RECIPES)}; there are {', '.join(RECIPES)}")
    values = dict(RECIPES[recipe])
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write name=value")
        if name not in Config.model_fields:
            raise ConfigError(f"no setting {name!r}{_nearest(name, Config.model_fields)}")
        values[name] = value
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--set {first['loc'][0]}={first['input']}: {first['msg']}") from None


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
