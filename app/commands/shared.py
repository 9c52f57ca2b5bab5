"""What commands share: options, settings from them, printing, and errors without a traceback."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from app.errors import StartupError
from model.contract.errors import SamesayError
from model.contract.terminal import harmless

if TYPE_CHECKING:
    from app.settings import Settings

DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder. [env: SAMESAY_DATA; default: data]")]
UrlOption = Annotated[str, typer.Option("--url", envvar="SAMESAY_URL", help="The running server.")]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", envvar="SAMESAY_API_KEY", help="Its key.", show_envvar=True)
]
_DISK_TROUBLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO})
_NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
_NEAR: Final = 0.85
"""How alike two names are of which one may be meant to be the other; SAMESAY_BENCH_DATA is no SAMESAY_DATA."""

DEFAULT_URL = "http://127.0.0.1:8765"


def load_settings(**options: Any) -> "Settings":
    """Settings from the environment, and from those options that were given; says which variables may be misspelt.

    Raises:
        StartupError: A value is wrong; it is named.
    """
    from pydantic import ValidationError

    from app.settings import Settings

    _warn_of_misspelt([f"SAMESAY_{name.upper()}" for name in (*Settings.model_fields, "url")])
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(part) for part in wrong["loc"]) or "settings"
        raise StartupError(f"SAMESAY_{name.upper()}: {wrong['msg'].removeprefix('Value error, ')}") from None


def _warn_of_misspelt(known: Sequence[str]) -> None:
    """Name variables that are nearly called like a setting, which would have no effect in silence."""
    for name in sorted({name.upper() for name in os.environ if name.upper().startswith("SAMESAY_")} - {*known}):
        for meant in get_close_matches(name, known, n=1, cutoff=_NEAR):
            warning = f"{harmless(name)} is no setting and has no effect; did you mean {meant}?"
            Console(stderr=True, soft_wrap=True).print(Text.assemble(("warning:", "bold yellow"), f" {warning}"))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print an error of ours, or one of the disk, in one line and exit with 1."""
    try:
        yield
    except SamesayError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in _DISK_TROUBLE | _NO_PLACE:
            raise
        remedy = "look at the disk, its free space and its rights"
        if error.errno in _NO_PLACE:
            remedy = "give the name of a file, in a folder that is there"
        _fail(f"{error.filename or 'a file'}: {error.strerror}; {remedy}")


def _fail(reason: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error:", "bold red"), f" {harmless(reason)}"))
    raise typer.Exit(1) from None
