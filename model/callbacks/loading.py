"""Finds a user's own callback by its name."""

import importlib
import sys
from pathlib import Path

from model.callbacks.interface import Callback
from model.errors import ConfigError


def load_callback(name: str) -> Callback:
    """Make the callback `module:Class`; the current folder is searched too.

    Raises:
        ConfigError: Not found, or not a Callback.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon:
        raise ConfigError(f"--callback {name}: write module:Class")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--callback {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Callback)):
        raise ConfigError(f"--callback {name}: not a class derived from model.callbacks.interface.Callback")
    return found()
