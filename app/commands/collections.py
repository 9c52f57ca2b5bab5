"""`samesay collections`: collections of a running server."""

from typing import Annotated

import typer

from app.commands.client import Client
from app.commands.shared import DEFAULT_URL, KeyOption, UrlOption, plain_errors
from model.contract.tables import ShownTable

app = typer.Typer(help="Collections of a running server.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new collection.")],
    encoder: Annotated[str, typer.Option(help="Name or sha256 of a registered encoder.")],
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Create a collection."""
    with plain_errors(), Client(url, api_key) as client:
        created = client.post("/v1/collections", {"name": name, "encoder": encoder})
        print(f"collection {created['name']} is there: encoder {created['encoder_name']}, dim {created['dim']}")


@app.command("list")
def list_all(url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """List the collections."""
    table = ShownTable("name", "encoder", "records", "groups", "searchable up to", "changes")
    with plain_errors(), Client(url, api_key) as client:
        for found in client.items("/v1/collections"):
            numbers = (found[name] for name in ("records", "groups", "visible_seq", "last_seq"))
            table.add(found["name"], found["encoder_name"], *map(str, numbers))
        table.print()
