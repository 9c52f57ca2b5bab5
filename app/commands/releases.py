"""`samesay releases`: which encoder, index and thresholds answer, which did, and which could."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.client import Client, ClientError
from app.commands.retraining import (
    DetachOption,
    GateOption,
    ManualOption,
    WhyOption,
    judged,
    place_of,
    see_through,
)
from app.commands.shared import (
    DEFAULT_URL,
    CollectionArgument,
    DataOption,
    KeyOption,
    UrlOption,
    moment,
    plain_errors,
    print_json,
    tell_of_more,
)
from model.contract.tables import ShownTable
from model.contract.terminal import harmless

app = typer.Typer(help="Releases of a collection: encoder, index and thresholds together.", no_args_is_help=True)

NumberArgument = Annotated[int, typer.Argument(help="Number of the release.", min=1)]


@app.command("list")
def list_all(collection: CollectionArgument, url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """List the releases of a collection."""
    table = ShownTable("release", "state", "at hand", "encoder", "threshold", "made", "answered since")
    with plain_errors(), Client(url, api_key) as client:
        for found in client.get(f"{place_of(collection)}/releases")["items"]:
            moments = (moment(found[name]) for name in ("created_at", "activated_at"))
            at_hand = "yes" if found["warm"] or found["state"] == "active" else "no"
            cells = (found["state"], at_hand, found["encoder"][:12], f"{found['threshold']:.3f}", *moments)
            table.add(str(found["number"]), *cells)
    table.print()


@app.command()
def report(
    collection: CollectionArgument,
    number: NumberArgument,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the page that one can read to this file.")] = None,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Show how a release was judged against the one before."""
    with plain_errors(), Client(url, api_key) as client:
        path = f"{place_of(collection)}/releases/{number}/report"
        if html is not None:
            client.download(f"{path}?form=html", html)
            print(f"the report is in {html}")
            return
        found = client.get(path)["report"]
        if as_json:
            print_json(found)
        else:
            print_report(found)


@app.command()
def events(
    collection: CollectionArgument,
    limit: Annotated[int, typer.Option(help="Newest events to show.", min=1)] = 100,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """List what happened to the releases of a collection, newest first."""
    table = ShownTable("when", "release", "what", "who", "why")
    with plain_errors(), Client(url, api_key) as client:
        found, are_more = client.first(limit, f"{place_of(collection)}/release-events")
        for event in found:
            table.add(moment(event["at"]), str(event["release"]), event["action"], event["who"], event["why"])
    table.print()
    tell_of_more(are_more)


@app.command()
def promote(
    collection: CollectionArgument,
    number: NumberArgument,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Let a release answer, whatever the gate said; one that is not at hand gets its index first."""
    with plain_errors(), Client(url, api_key) as client:
        _show_switch(client, client.post(f"{place_of(collection)}/releases/{number}:promote", {"why": why}))


@app.command()
def rollback(
    collection: CollectionArgument,
    number: Annotated[
        int | None, typer.Argument(help="The release to take back; without, the active one.", min=1)
    ] = None,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Let the release answer again that did before the active one, current to the last write."""
    with plain_errors(), Client(url, api_key) as client:
        number = number or client.get(place_of(collection))["active_release"]
        _show_switch(client, client.post(f"{place_of(collection)}/releases/{number}:rollback", {"why": why}))


@app.command()
def add(
    collection: CollectionArgument,
    encoder: Annotated[str, typer.Argument(help="Folder of a bundle, or the name of a registered encoder.")],
    name: Annotated[str | None, typer.Option(help="Name to register the bundle under.")] = None,
    gate: GateOption = None,
    manual: ManualOption = False,
    why: WhyOption = "",
    detach: DetachOption = False,
    data: DataOption = None,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Make a release of an encoder that was trained elsewhere; it passes the same gate as a retraining.

    A folder is registered first, in the data folder on this machine.
    """
    with plain_errors(), Client(url, api_key) as client:
        if Path(encoder).is_dir():
            from app.commands.encoders import register

            if name is None:
                raise ClientError(f"{encoder} is a folder: give --name NAME to register its encoder under")
            encoder = register(Path(encoder), name, data).name
        body = {"encoder": encoder, **judged(gate, manual, why)}
        see_through(client, client.post(f"{place_of(collection)}/releases", body), detach=detach)


def _show_switch(client: Client, answered: dict[str, Any]) -> None:
    if "release" not in answered:  # its index is being built: a job
        see_through(client, answered)
        return
    number, before = answered["release"]["number"], answered["before"]
    when = "answers now" if answered["answers"] else "is active, and answers as soon as this server has loaded it"
    print(f"release {number} {when}, in place of {before}")


def print_report(found: dict[str, Any]) -> None:
    """Say whether a release passed the gate and what could not be told, and show every rule."""
    verdict = found["verdict"]
    passed = "passed the gate" if verdict["passed"] else "was refused by the gate"
    print(f"It {passed}, judged against release {found['previous']}.")
    for said in (*verdict["reasons"], *verdict.get("notes", ())):
        print(harmless(f"- {said}"))
    table = ShownTable("rule", "", "candidate", "active", "p", "held-out sentences")
    for rule in verdict["rules"]:
        numbers = (rule.get(name) for name in ("candidate", "active", "p_value"))
        shown = ("" if number is None else f"{number:.4f}" for number in numbers)
        table.add(rule["name"], "ok" if rule["passed"] else "not ok", *shown, str(rule.get("n") or ""))
    table.print()
