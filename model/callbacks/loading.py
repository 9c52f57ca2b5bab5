"""Finds a user's own callback by its name; what its code raises becomes an error that says where."""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from torch import Tensor

from model.callbacks.interface import MOMENTS, Callback
from model.errors import CallbackError, ConfigError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def load_callback(name: str) -> Callback:
    """Make the callback `module:Class`; the current folder is searched too.

    Raises:
        ConfigError: Not found, or not a Callback.
        CallbackError: Its code raised something, here or later in one of its hooks.
    """
    module_name, _, class_name = name.partition(":")
    if not (module_name and class_name):
        raise ConfigError(f"--callback {name}: write module:Class")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    with _blaming(f"--callback {name}", "mend it"):
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"--callback {name}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Callback)):
            raise ConfigError(f"--callback {name}: not a class derived from model.callbacks.interface.Callback")
        callback = found()
    for method in (*MOMENTS, "state_dict", "load_state_dict"):
        setattr(callback, method, _blamed(getattr(callback, method), f"--callback {name}, {method}"))
    return callback


def _blamed(method: Callable[_P, _R], what: str) -> Callable[_P, _R]:
    @wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _blaming(what, "mend it, then the same command with --resume goes on"):
            result = method(*args, **kwargs)
            _check_state(result)
            return result

    return call


def _check_state(result: object) -> None:
    """What a checkpoint keeps are tensors; hooks return nothing."""
    for key, value in result.items() if isinstance(result, dict) else ():
        if not isinstance(value, Tensor):
            raise TypeError(f"{key!r} is {value!r}; give a tensor, such as torch.tensor({value!r})")


@contextmanager
def _blaming(what: str, remedy: str) -> Iterator[None]:
    """Code that is not ours may raise anything; a line that says what and where does for all of it."""
    try:
        yield
    except (ConfigError, CallbackError):
        raise
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise CallbackError(f"{what}: {said}{_place(error)}; {remedy}") from error


def _place(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_file()]
    theirs = [frame for frame in frames if frame.filename != __file__]
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""
