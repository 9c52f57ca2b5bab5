"""What commands share: options, settings from them, printing, and errors without a traceback."""

import errno
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from app.errors import StartupError
from model.contract.errors import SamesayError
from model.contract.files import NO_ROOM
from model.contract.terminal import harmless

if TYPE_CHECKING:
    from app.db.database import Database
    from app.settings import Settings


def _folder(given: str) -> Path:
    if not given.strip():  # it would be the current folder; as of a variable that is not set
        raise typer.BadParameter("is empty: name a folder, '.' for this one")
    return Path(given)


DataOption = Annotated[
    Path | None,
    typer.Option("--data", parser=_folder, metavar="<path>", help="Data folder. (env: SAMESAY_DATA; default: data)"),
]
PREFIX: Final = "SAMESAY_"
URL_VARIABLE: Final = "SAMESAY_URL"
CollectionArgument = Annotated[str, typer.Argument(help="Name of the collection.")]
UrlOption = Annotated[str, typer.Option("--url", envvar=URL_VARIABLE, help="The running server.")]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", envvar="SAMESAY_API_KEY", help="Its key.", show_envvar=True)
]
_DISK_TROUBLE: Final = NO_ROOM | {errno.EROFS, errno.EACCES, errno.EIO}
_NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
DEFAULT_URL = "http://127.0.0.1:8765"


def load_settings(*, tells: bool = True, **options: Any) -> "Settings":
    """Settings from the environment, and from those options that were given.

    Args:
        tells: Warn of variables that are none of ours and look as if they were meant to be.
        options: By the names of the settings.

    Raises:
        StartupError: A value is wrong; it is named.
    """
    from pydantic import ValidationError

    from app.settings import Settings

    if tells:
        _warn_of_misspelt(Settings.model_fields)
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        told = wrong["msg"].removeprefix("Value error, ")
        name = "_".join(str(part) for part in wrong["loc"]).upper()
        raise StartupError(f"{PREFIX}{name}: {told}" if name else told) from None  # what is about several names them


def _warn_of_misspelt(settings: Iterable[str]) -> None:
    """Others are let be: Kubernetes sets SAMESAY_SERVICE_HOST and the like for a service of this name."""
    ours = [setting.upper() for setting in settings]
    for name in sorted(os.environ.keys() - {PREFIX + setting for setting in ours} - {URL_VARIABLE}):
        near = get_close_matches(name.removeprefix(PREFIX), ours, n=1) if name.startswith(PREFIX) else []
        if near:
            told = f" {name} is no setting and does nothing: did you mean {PREFIX}{near[0]}?"
            Console(stderr=True, soft_wrap=True).print(Text.assemble(("warning:", "bold yellow"), harmless(told)))


def print_json(value: Any) -> None:
    """Print what a server answered."""
    is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print(harmless(json.dumps(value, ensure_ascii=not is_unicode, indent=2)))


def moment(told: str | None) -> str:
    """A moment of an answer, to the second; nothing where there is none."""
    return (told or "")[:19].replace("T", " ")


def opened_database(settings: "Settings", *, makes: bool) -> "Database":
    """The database of the settings.

    Args:
        settings: Name it.
        makes: Make it where it is missing, and say so: the folder may be another one than was meant.

    Raises:
        StartupError: It is missing, or cannot be opened.
    """
    from app.db.opening import has_database, open_database, require_database

    if not makes:
        require_database(settings)
    is_new = not has_database(settings)
    database = open_database(settings)
    if is_new:
        tell_of_new_database(settings)
    return database


def tell_of_new_database(settings: "Settings") -> None:
    """Say that there was none in the folder: it may be another one than was meant."""
    told = f"{settings.data} held no database: a new one was made there, for a server with this --data folder."
    Console(stderr=True, soft_wrap=True).print(harmless(told), markup=False, highlight=False)


def tell_of_more(are_more: bool) -> None:
    """Say beside a list that it was cut."""
    if are_more:
        typer.echo("there are more: --limit shows more of them", err=True)


def end_on_sigterm() -> None:
    """End with status 0 on SIGTERM until there is more to end; the first process of a container would not hear it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


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
