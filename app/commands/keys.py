"""`samesay keys`: the keys of a data folder or database; works with the server running or not."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.access.key_format import PREFIX
from app.access.scopes import KeyScope
from app.commands.shared import DataOption, load_settings, opened_database, plain_errors
from app.errors import InvalidValueError
from model.contract.tables import ShownTable
from model.contract.terminal import harmless

if TYPE_CHECKING:
    from app.access.schemas import ApiKeyAnswer, ApiKeySecret
    from app.access.service import ApiKeyService
    from app.audit.service import AuditService

app = typer.Typer(help="Make, list, change and revoke API keys.", no_args_is_help=True)


def _id_of(key: str) -> str:
    """The id, also of one who has the whole key at hand and wants to be rid of it."""
    return key.removeprefix(f"{PREFIX}_").partition("_")[0]


KeyArgument = Annotated[str, typer.Argument(help="Id of the key: of sms_ID_SECRET the ID.", parser=_id_of)]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[KeyScope], typer.Option(help="What it allows; give it several times for more.")],
    collection: Annotated[
        list[str] | None, typer.Option(help="A collection it is for; several times for more, never for all.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="Days after which it is refused; for ever without.", min=0)] = None,
    rate_limit: Annotated[float | None, typer.Option(help="Items a second that it may send.")] = None,
    rate_burst: Annotated[int | None, typer.Option(help="Items that it may send at once.")] = None,
    data: DataOption = None,
) -> None:
    """Make a key and print it; it is shown this once only."""
    with plain_errors(), _opened(data, makes=True) as (keys, audit):
        from app.access.caller import COMMAND_LINE
        from app.access.schemas import ApiKeyCreate
        from app.http.body import parse_body

        limits = {"rate_limit": rate_limit, "rate_burst": rate_burst, "expires_at": _end(days)}
        body = json.dumps({"name": name, "scopes": scope, "collections": collection or None, **limits}).encode()
        made = asyncio.run(keys.create(parse_body(body, ApiKeyCreate), COMMAND_LINE))
        audit.write_command("create_api_key", made.id)
        _show(made)
        if len(asyncio.run(keys.list_page(None, 2)).items) == 1:
            _say("It is the first key: from now on a server on this data answers nobody without one.")
        for missing in asyncio.run(keys.not_there(collection or ())):
            _say(f"There is no collection {missing} yet; the key is for it as soon as there is.")


@app.command("list")
def list_all(data: DataOption = None) -> None:
    """List the keys, without their secrets."""
    with plain_errors(), _opened(data) as (keys, _):
        table = ShownTable("id", "name", "scopes", "collections", "state", "last used")
        cursor = None
        while True:
            page = asyncio.run(keys.list_page(cursor, 1000))
            for key in page.items:
                used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
                collections = "all" if key.collections is None else ", ".join(key.collections)
                table.add(key.id, key.name, ", ".join(key.scopes), collections, _state(key), used)
            cursor = page.next_cursor
            if cursor is None:
                break
        table.print()


@app.command()
def revoke(key: KeyArgument, data: DataOption = None) -> None:
    """Refuse a key from now on, and for ever; running servers do so within 5 seconds."""
    with plain_errors(), _opened(data) as (keys, audit):
        asyncio.run(keys.revoke(key))
        audit.write_command("revoke_api_key", key)
        print(f"key {key} is revoked; running servers refuse it within 5 seconds")


@app.command()
def rotate(
    key: KeyArgument,
    grace_s: Annotated[
        int, typer.Option(help="Seconds for which the old secret is good too.", min=0, max=30 * 24 * 3600)
    ] = 0,
    data: DataOption = None,
) -> None:
    """Give a key a new secret and print it; it is shown this once only."""
    with plain_errors(), _opened(data) as (keys, audit):
        made = asyncio.run(keys.rotate(key, grace_s))
        audit.write_command("rotate_api_key", key)
        _show(made)


def _end(days: float | None) -> str | None:
    """The moment so many days from now."""
    try:
        return None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    except (OverflowError, ValueError):  # beyond the year 9999, infinity, NaN
        raise InvalidValueError(
            f"--days {days:.0f}: no date is so many days from now: give fewer, or leave it out for a key without end"
        ) from None


@contextmanager
def _opened(data: Path | None, *, makes: bool = False) -> Iterator[tuple["ApiKeyService", "AuditService"]]:
    """The keys of a database, made where it is missing, if that is wanted: a key may come before its server."""
    from app.access.opening import open_keys

    settings = load_settings(data=data)
    with closing(opened_database(settings, makes=makes)) as database:
        yield open_keys(settings, database)


def _show(made: "ApiKeySecret") -> None:
    """Print the key alone to stdout, so that a script can take it, and what to know about it beside."""
    _say(f"key {made.id} ({made.name}): keep it now, it is shown this once. Running servers know it within 5 seconds.")
    print(made.key)


def _say(told: str) -> None:
    Console(stderr=True, soft_wrap=True).print(harmless(told), markup=False, highlight=False)


def _state(key: "ApiKeyAnswer") -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "good"
    return f"{'expired' if key.expires_at <= datetime.now(UTC) else 'good until'} {key.expires_at:%Y-%m-%d %H:%M}"
