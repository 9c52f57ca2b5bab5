"""Named sets of settings, and how the command line changes them."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from model.config.combinations import check_combinations
from model.config.sections import Config
from model.errors import ConfigError

RECIPES: Final[Mapping[str, Mapping[str, Any]]] = {
    # what measured best from scratch (docs/log.md)
    "default": {},
    # the 2018 post: one GRU, last state, constant Adam; see docs/methods.md for the departures
    "classic": {
        "buckets": 0,
        "max_tokens": 32,
        "min_frequency_cjk": 5,
        "bidirectional": False,
        "pooling": "last",
        "bag_weight": 0.0,
        "word_dim": 128,
        "table_start": "random",
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

_MARGINS: Final[Mapping[str, float]] = {"arcface": 0.5, "a_softmax": 4, "simpler_a_softmax": 4, "normalised_softmax": 0}
"""The usual margin of each loss that is not am_softmax."""

_ALIASES: Final[Mapping[str, str]] = {
    "margin_loss=cosface": "margin_loss=am_softmax",
    "margin_loss=sphereface": "margin_loss=a_softmax",
}


def make_config(recipe: str, settings: Sequence[str] = ()) -> Config:
    """A recipe with settings of the form name=value applied to it.

    Raises:
        ConfigError: Unknown recipe or name (the nearest one is suggested), a value out of range, or settings that do
            not make sense together.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"no recipe {recipe!r}{_nearest(recipe, RECIPES)}; there are {', '.join(RECIPES)}")
    values = dict(RECIPES[recipe])
    for setting in settings:
        name, equals, value = _ALIASES.get(setting, setting).partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write name=value")
        if name not in Config.model_fields:
            raise ConfigError(f"no setting {name!r}{_nearest(name, Config.model_fields)}; samesay settings lists all")
        values[name] = _parse(name, value)
    if "margin" not in values and values.get("margin_loss") in _MARGINS:
        values["margin"] = _MARGINS[values["margin_loss"]]
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        given = values[name] if name in values else first["input"]
        raise ConfigError(f"--set {name}={given}: {first['msg']}") from None
    check_combinations(config)
    return config


def _parse(name: str, value: str) -> Any:
    """JSON where it looks like an object or a list, the text itself otherwise (pydantic reads numbers from text)."""
    if value == "none" and Config.model_fields[name].default is None:
        return None
    if not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ConfigError(f"--set {name}={value}: not JSON: {error}") from None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
