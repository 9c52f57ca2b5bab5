"""`samesay feedback`: what people said of answers, the kept queries, and what becomes of them."""

from typing import Annotated, Any, Final

import typer

from app.commands.client import Client, ClientError, path_of
from app.commands.shared import (
    DEFAULT_URL,
    CollectionArgument,
    KeyOption,
    UrlOption,
    plain_errors,
    print_json,
    tell_of_more,
)
from model.contract.tables import ShownTable

app = typer.Typer(help="Feedback on answers, and kept queries.", no_args_is_help=True)

_SHOWN: Final = 3
"""Items that could not be resolved and are named."""

IdsArgument = Annotated[list[str], typer.Argument(help="Ids of items, up to 1,000.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what the server answers.")]


@app.command("list")
def list_items(
    collection: CollectionArgument,
    state: Annotated[str, typer.Option(help="pending, accepted, rejected, or all.")] = "pending",
    verdict: Annotated[str | None, typer.Option(help="right_group, out_of_scope or wrong_answer.")] = None,
    source: Annotated[str | None, typer.Option(help="client or kept_query.")] = None,
    limit: Annotated[int, typer.Option(help="Items to show.", min=1)] = 100,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """List items, oldest first."""
    wanted = {"state": None if state == "all" else state, "verdict": verdict, "source": source}
    given = {name: value for name, value in wanted.items() if value is not None}
    with plain_errors(), Client(url, api_key) as client:
        items, are_more = client.first(limit, _place(collection), **given)
    tell_of_more(are_more)
    if as_json:
        print_json(items)
        return
    table = ShownTable("id", "source", "verdict", "group", "state", "asked", "text")
    for item in items:
        says, group = item["verdict"] or item["decision"] or "", item["group"] or _first_group(item)
        table.add(item["id"], item["source"], says, group, item["state"], str(item["count"]), _one_line(item["text"]))
    table.print()


@app.command()
def queue(
    collection: CollectionArgument,
    limit: Annotated[int, typer.Option(help="Clusters to show.", min=1, max=1000)] = 20,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Show what waits, clustered, the most pressing first, with what had better be done."""
    with plain_errors(), Client(url, api_key) as client:
        found = client.get(f"{_place(collection)}/clusters", limit=limit)
    if as_json:
        print_json(found)
        return
    table = ShownTable("priority", "asked", "suggestion", "nearest groups", "texts", "id")
    for cluster in found["clusters"]:
        suggestion = " ".join(filter(None, (cluster["suggestion"]["action"], cluster["suggestion"]["group"])))
        near = "\n".join(f"{group['score']:.2f} {group['group']}" for group in cluster["groups"])
        texts = "\n".join(_one_line(item["text"]) for item in cluster["items"])
        ids = "\n".join(item["id"] for item in cluster["items"])
        table.add(f"{cluster['priority']:.2f}", str(cluster["count"]), suggestion, near, texts, ids)
    table.print()
    print(f"{found['pending']} items wait; the {found['considered']} asked most often were looked at")


@app.command()
def accept(
    collection: CollectionArgument,
    ids: IdsArgument,
    group: Annotated[
        str | None, typer.Option(help="Where the texts belong; without it, the group that was named.")
    ] = None,
    out_of_scope: Annotated[bool, typer.Option("--out-of-scope", help="They belong to no group.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Accept items: each becomes a record."""
    role = {"role": "out_of_scope"} if out_of_scope else {}
    _resolve(collection, {"ids": ids, "state": "accepted", "group": group, **role}, as_json, url, api_key)


@app.command()
def reject(
    collection: CollectionArgument,
    ids: IdsArgument,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Reject items: they are asked about no more."""
    _resolve(collection, {"ids": ids, "state": "rejected"}, as_json, url, api_key)


def _resolve(collection: str, body: dict[str, Any], as_json: bool, url: str, api_key: str | None) -> None:
    with plain_errors(), Client(url, api_key) as client:
        answer = client.post(f"{_place(collection)}:resolve", body)
        wrong = [item for item in answer["items"] if item["code"] is not None]
        if as_json:
            print_json(answer)
        else:
            created = sum(item["created"] is True for item in answer["items"])
            n_records = f", {created} of them as new records" if body["state"] == "accepted" else ""
            print(f"{len(answer['items']) - len(wrong)} {body['state']}{n_records}")
        if answer["training_ordered"] and not as_json:
            print("a training was ordered")
        if wrong:
            more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            raise ClientError("; ".join(item["detail"] for item in wrong[:_SHOWN]) + more)


def _place(collection: str) -> str:
    return path_of("collections", collection, "feedback")


def _first_group(item: dict[str, Any]) -> str:
    return f"{item['groups'][0]['group']}?" if item["groups"] else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
