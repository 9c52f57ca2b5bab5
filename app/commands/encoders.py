"""`samesay encoders`: the registry of encoders; works with the server running or not."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.commands.shared import DataOption, load_settings, plain_errors
from app.container import open_database, open_encoders
from app.errors import InvalidValueError
from app.schemas import NAME_PATTERN

app = typer.Typer(help="Register trained encoders.", no_args_is_help=True)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="Folder of the bundle: RUN/bundle of a training.")],
    name: Annotated[str, typer.Option(help="Name to register it under.")],
    data: DataOption = None,
) -> None:
    """Verify a bundle, copy it into the data folder and register it."""
    with plain_errors():
        if not re.fullmatch(NAME_PATTERN, name):
            raise InvalidValueError(f"the name {name!r} is not allowed: give lower-case letters, digits, - and _ only")
        settings = load_settings(data=data)
        database = open_database(settings)
        try:
            added = open_encoders(settings, database).add(path, name)
        finally:
            database.close()
        print(f"encoder {added.name} is registered: sha256 {added.sha}, dim {added.dim}, {added.n_labels} labels")


@app.command("list")
def list_all(data: DataOption = None) -> None:
    """List the registered encoders."""
    with plain_errors():
        settings = load_settings(data=data)
        database = open_database(settings)
        try:
            encoders = open_encoders(settings, database).list_now()
        finally:
            database.close()
        table = Table("name", "sha256", "dim", "labels", "added")
        for encoder in encoders:
            added = f"{encoder.created_at:%Y-%m-%d %H:%M}"
            table.add_row(encoder.name, encoder.sha, str(encoder.dim), str(encoder.n_labels), added)
        Console().print(table)
