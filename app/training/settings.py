"""The trainer's settings as an order gives them: what can never work is refused before a job is made of it."""

import json
from collections.abc import Mapping
from typing import Any

from model.config import GateRules, make_config
from model.errors import ConfigError

Points = list[list[float]]
Setting = str | bool | float | Points | dict[str, Points] | None


def as_arguments(settings: Mapping[str, Setting]) -> list[str]:
    """Settings as the trainer's command line takes them, name=value."""
    return [f"{name}={_shown(value)}" for name, value in settings.items()]


def check_settings(recipe: str, settings: Mapping[str, Setting]) -> None:
    """Refuse what the trainer would refuse of any data.

    Raises:
        ValueError: Naming the recipe or the setting, and the nearest there is.
    """
    try:
        make_config(recipe, as_arguments(settings))
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("--set ")) from None


def check_gate(rules: dict[str, Any]) -> dict[str, Any]:
    """Refuse rules that the gate does not have; raises as `check_settings`."""
    try:
        GateRules.read(rules)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return rules


def _shown(value: Setting) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)
