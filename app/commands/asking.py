"""`samesay search` and `samesay classify`: ask a running server."""

from typing import Annotated, Any

import typer

from app.commands.client import Client, path_of
from app.commands.shared import DEFAULT_URL, CollectionArgument, KeyOption, UrlOption, plain_errors
from model.contract.tables import ShownTable

TextArgument = Annotated[str, typer.Argument(help="The sentence.")]


def search(
    collection: CollectionArgument,
    text: TextArgument,
    k: Annotated[int, typer.Option("-k", "--k", help="Neighbours wanted.")] = 5,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Find the nearest records of a sentence."""
    with plain_errors(), Client(url, api_key) as client:
        answer = client.post(f"{path_of('collections', collection)}:search", {"query": text, "k": k})
    table = ShownTable("score", "group", "id", "text")
    for neighbour in answer["results"][0]:
        table.add(f"{neighbour['score']:.3f}", *(neighbour[name] or "" for name in ("group", "id", "text")))
    table.print()
    _warn_if(answer["truncated"])


def classify(
    collection: CollectionArgument,
    text: TextArgument,
    top_n: Annotated[int, typer.Option(help="Groups to show.")] = 3,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Decide which group a sentence belongs to, or which labels apply to it, if any."""
    with plain_errors(), Client(url, api_key) as client:
        body = {"text": text, "top_n": top_n}
        answer = client.post(f"{path_of('collections', collection)}:classify", body)
    result = answer["results"][0]
    print(f"{result['decision']} (confidence {result['confidence']:.2f})")
    for name in ("label", "group"):
        _print_confidences(name, result[f"{name}s"])
    _warn_if(result["truncated"])


def _print_confidences(name: str, candidates: list[dict[str, Any]]) -> None:
    """A table of labels or groups, if there are any."""
    table = ShownTable("confidence", name)
    for candidate in candidates:
        table.add(f"{candidate['confidence']:.3f}", candidate[name])
    if candidates:
        table.print()


def _warn_if(truncated: bool) -> None:
    if truncated:
        typer.echo("note: the sentence was cut at the encoder's limit (see /v1/encoders)", err=True)
