"""`samesay collections`: collections of a running server."""

from typing import Annotated, Any

import typer

from app.commands.client import Client, ClientError, path_of
from app.commands.shared import (
    DEFAULT_URL,
    CollectionArgument,
    KeyOption,
    UrlOption,
    plain_errors,
    print_json,
)
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


@app.command()
def show(collection: CollectionArgument, url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """Show all that is told of a collection, as JSON: its settings, its index, how far searches are."""
    with plain_errors(), Client(url, api_key) as client:
        print_json(client.get(path_of("collections", collection)))


@app.command()
def change(
    collection: CollectionArgument,
    description: Annotated[str | None, typer.Option(help='What it is for; "" for nothing.')] = None,
    target_index_recall: Annotated[
        float | None, typer.Option(help="index_recall@10 that its index is tuned for.")
    ] = None,
    keep_queries: Annotated[
        str | None, typer.Option(help="Queries of classify to keep for review: off, unmatched or sampled.")
    ] = None,
    keep_queries_share: Annotated[float | None, typer.Option(help="The share that `sampled` keeps.")] = None,
    keep_queries_days: Annotated[
        int | None, typer.Option(help="A query that was not asked for so many days is deleted.")
    ] = None,
    keep_queries_most: Annotated[int | None, typer.Option(help="Different texts that are kept at most.")] = None,
    auto_retrain_after: Annotated[
        int | None, typer.Option(help="Accepted items after which a training is ordered; 0 for never.", min=0)
    ] = None,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Change settings of a collection; what is not given stays."""
    given = {
        "description": description,
        "target_index_recall": target_index_recall,
        "keep_queries": keep_queries,
        "keep_queries_share": keep_queries_share,
        "keep_queries_days": keep_queries_days,
        "keep_queries_most": keep_queries_most,
        "auto_retrain_after": auto_retrain_after,
    }
    nothing = {"description": "", "auto_retrain_after": 0}
    wanted: dict[str, Any] = {
        name: None if value == nothing.get(name) else value for name, value in given.items() if value is not None
    }
    with plain_errors(), Client(url, api_key) as client:
        if not wanted:
            raise ClientError("nothing to change: give an option, such as --keep-queries unmatched")
        changed = client.patch(path_of("collections", collection), wanted)
    for name in wanted:
        print(f"{name}: {changed[name]}")


@app.command()
def delete(
    collection: CollectionArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Delete a collection with its records, groups, releases and feedback."""
    with plain_errors(), Client(url, api_key) as client:
        place = path_of("collections", collection)
        n_records = client.get(place)["records"]
        if not yes:
            typer.confirm(f"Delete {collection} with its {n_records} records for good?", abort=True, err=True)
        client.delete(place)
    print(f"collection {collection} and its {n_records} records are gone")
