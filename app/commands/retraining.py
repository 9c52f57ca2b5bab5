"""`samesay retrain`: a collection's records to a release that is better, or to the reason why not."""

import json
import time
from typing import Annotated, Any

import typer

from app.commands.client import Client, ClientError, path_of
from app.commands.following import follow
from app.commands.shared import DEFAULT_URL, CollectionArgument, KeyOption, UrlOption, plain_errors

ManualOption = Annotated[
    bool, typer.Option("--manual", help="Keep the release ready; `samesay releases promote` lets it answer.")
]
GateOption = Annotated[
    list[str] | None, typer.Option("--gate", help="rule=value of the gate (docs/gate.md); may be given again.")
]
WhyOption = Annotated[str, typer.Option(help="Kept with the release's events.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Print the id of the job, and do not wait.")]


def retrain(
    collection: CollectionArgument,
    recipe: Annotated[str, typer.Option(help="One of those that `samesay train --help` names.")] = "default",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="name=value; may be given again; `samesay settings` lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, dropout and batches.")] = 0,
    gate: GateOption = None,
    manual: ManualOption = False,
    why: WhyOption = "",
    detach: DetachOption = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Train an encoder on a collection's records, and let it answer if it is not worse than the one that does.

    The server goes on answering meanwhile. What the gate refuses changes nothing, and the command ends with 1.
    Ctrl-C ends the waiting, not the job: `samesay jobs cancel` does.
    """
    body = {
        "recipe": recipe,
        "settings": read_pairs(settings or [], "--set"),
        "seed": seed,
        **judged(gate, manual, why),
    }
    with plain_errors(), Client(url, api_key) as client:
        see_through(client, client.post(f"{place_of(collection)}/trainings", body), detach=detach)


def place_of(collection: str) -> str:
    """The path of a collection."""
    return path_of("collections", collection)


def judged(gate: list[str] | None, manual: bool, why: str) -> dict[str, Any]:
    """What a request says on the way from a candidate to the release that answers."""
    return {"gate": read_pairs(gate or [], "--gate"), "promote": "manual" if manual else "auto", "why": why}


def read_pairs(pairs: list[str], option: str) -> dict[str, Any]:
    """`name=value` as a mapping; values that are JSON are read as such, others are text.

    Raises:
        typer.BadParameter: One has no name or no value, or a number that no JSON has.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, is_given, value = pair.partition("=")
        if not name or not is_given:
            raise typer.BadParameter(f"{pair!r} is not name=value", param_hint=option)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
        _check_finite(pair, found[name], option)
    return found


def _check_finite(pair: str, value: Any, option: str) -> None:
    """Python reads NaN, Infinity and 1e400 as numbers; there are none such in JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise typer.BadParameter(f"{pair!r} has no finite number: give one", param_hint=option) from None


def see_through(client: Client, job: dict[str, Any], *, detach: bool = False) -> None:
    """Wait until a release is made, and say what came of it.

    Raises:
        ClientError: None came of it that may answer.
    """
    if detach:
        print(job["id"])
        return
    started = time.monotonic()
    job = follow(client, job["id"])
    if job["error"] is not None:
        raise ClientError(f"{job['error']['detail']} ({job['error']['code']})")
    if job["state"] == "cancelled":
        raise ClientError(f"cancelled: {_left_by(job)}")
    result = job["result"]
    number, place = result["release"], f"{job['collection']} {result['release']}"
    if result["state"] == "active":
        print(f"release {number} answers since {time.monotonic() - started:.0f} s after the order")
    elif "not_promoted" in result:
        print(f"release {number} is ready and does not answer: {result['not_promoted']}")
    else:
        print(f"release {number} is ready: samesay releases promote {place}")
    if job["type"] != "promotion":  # which judges nothing
        print(f"its report: samesay releases report {place}")


def _left_by(job: dict[str, Any]) -> str:
    """What a job left that was cancelled: a release where it had just stored it."""
    if job["result"] is None:
        return "nothing was changed"
    return f"release {job['result']['release']} was stored already: it is kept, and was not promoted"
