"""`samesay encoders`: the registry of encoders; works with the server running or not."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.shared import DataOption, load_settings, opened_database, plain_errors
from app.errors import InvalidValueError
from model.contract.runtime import check_runtimes
from model.contract.tables import ShownTable

if TYPE_CHECKING:
    from app.audit.service import AuditService
    from app.encoder.schemas import EncoderAnswer
    from app.encoder.service import EncoderService

app = typer.Typer(help="Register trained encoders.", no_args_is_help=True)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="Folder of the bundle: RUN/bundle of a training.")],
    name: Annotated[str, typer.Option(help="Name to register it under.")],
    data: DataOption = None,
) -> None:
    """Verify a bundle, copy it into the data folder and register it."""
    with plain_errors():
        added = register(path, name, data, makes=True)
        print(f"encoder {added.name} is registered: sha256 {added.sha}, dim {added.dim}, {added.n_labels} labels")


def register(path: Path, name: str, data: Path | None, *, makes: bool = False) -> "EncoderAnswer":
    """Register a bundle under a name that is fit for one; `makes` the database where it is missing."""
    from app.schemas import check_name

    try:
        check_name(name)
    except ValueError as error:
        raise InvalidValueError(f"{name!r} {error}") from None
    with _registry(data, makes=makes) as (encoders, audit):
        added = encoders.add(path, name)
        audit.write_command("add_encoder", added.sha)
        return added


@app.command("list")
def list_all(data: DataOption = None) -> None:
    """List the registered encoders."""
    with plain_errors(), _registry(data) as (encoders, _):
        table = ShownTable("name", "sha256", "dim", "labels", "added")
        for encoder in encoders.list_now():
            added = f"{encoder.created_at:%Y-%m-%d %H:%M}"
            table.add(encoder.name, encoder.sha, str(encoder.dim), str(encoder.n_labels), added)
        table.print()


@contextmanager
def _registry(data: Path | None, *, makes: bool = False) -> Iterator[tuple["EncoderService", "AuditService"]]:
    """The encoders of a database, which is made where it is missing, if that is wanted."""
    check_runtimes()
    from app.access.opening import open_keys
    from app.container import open_encoders
    from app.data_folder import make_folder

    settings = load_settings(data=data)
    if makes:
        make_folder(settings.data)  # the bundle goes there, wherever the database is
    with closing(opened_database(settings, makes=makes)) as database:
        _, audit = open_keys(settings, database)
        yield open_encoders(settings, database), audit
