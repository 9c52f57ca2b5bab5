"""`samesay import`: a file of sentences into a collection of a running server."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.bulk.content_ids import content_id
from app.commands.client import Client, ClientError
from app.commands.shared import DEFAULT_URL, KeyOption, UrlOption, plain_errors
from model.contract.dataset import DatasetFile, Row, read_rows

BATCH: Final = 1000
_SHOWN: Final = 20
_NO_PROGRESS_S: Final = 120.0


@dataclass(slots=True)
class Outcome:
    """How an import went.

    Attributes:
        stored: Records that are there now.
        refused: Line and reason of each record that the server did not take.
        seq: Change up to which searches must reach.
    """

    stored: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    seq: int = 0


def import_file(
    collection: Annotated[str, typer.Argument(help="Name of the collection; it must exist.")],
    file: Annotated[Path, typer.Argument(help="TSV, CSV or NDJSON with a text column; group, id, title if there.")],
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Import a file of sentences and wait until searches find them; running it again changes nothing."""
    with plain_errors(), Client(url, api_key) as client:
        place = f"/v1/collections/{quote(collection, safe='')}"
        client.get(place)  # a collection that is not there is said before the file is read
        outcome = import_rows(client, collection, read_rows(file))
    if outcome.refused:
        raise typer.Exit(1)


def import_rows(client: Client, collection: str, dataset: DatasetFile) -> Outcome:
    """Store a file's rows, wait until searches find them, and report."""
    console = Console(stderr=True)
    place = f"/v1/collections/{quote(collection, safe='')}"
    started = time.monotonic()
    with _progress(console) as progress:
        outcome = _store(client, place, dataset.rows, _bar(progress, "storing", len(dataset.rows)))
        refused = {line for line, _ in outcome.refused}
        _put_titles(client, place, [row for row in dataset.rows if row.line not in refused])
        _wait_until_visible(client, place, outcome.seq, progress)
    _report(console, dataset, outcome, time.monotonic() - started)
    return outcome


def records_of(rows: Iterable[Row]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row as a record of a batch, with its line; without an id of its own it gets one made of its content.

    The same sentence in the same group is the same record, so that importing a file again changes nothing.
    """
    for row in rows:
        record: dict[str, Any] = {"id": row.id or content_id(row.text, row.group), "text": row.text, "source": "import"}
        if row.group is not None:
            record["group"] = row.group
        if row.likely_labels:
            record["labels"] = list(row.likely_labels)
        if row.role is not None:
            record["role"] = row.role
        if row.metadata:
            record["metadata"] = dict(row.metadata)
        yield row.line, record


def batches(records: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Batches in order; a record that is in the batch before, whole, is left out."""
    batch: dict[str, tuple[int, dict[str, Any]]] = {}
    extra: list[tuple[int, dict[str, Any]]] = []
    for line, record in records:
        known = batch.get(record["id"])
        if known is None:
            batch[record["id"]] = (line, record)
        elif known[1] != record:
            extra.append((line, record))  # the server refuses it and says why
        if len(batch) + len(extra) == BATCH:
            yield [*batch.values(), *extra]
            batch, extra = {}, []
    if batch:
        yield [*batch.values(), *extra]


def _store(client: Client, place: str, rows: list[Row], advance: Callable[[int], None]) -> Outcome:
    """Send batch after batch; the next one is made ready while the server works on this one."""
    outcome = Outcome()
    with ThreadPoolExecutor(1) as sender:
        pending: Future[None] | None = None
        for batch in batches(records_of(rows)):
            if pending is not None:
                pending.result()
            pending = sender.submit(_send, client, place, batch, outcome, advance)
        if pending is not None:
            pending.result()
    advance(len(rows))
    return outcome


def _send(
    client: Client,
    place: str,
    batch: list[tuple[int, dict[str, Any]]],
    outcome: Outcome,
    advance: Callable[[int], None],
) -> None:
    answer = client.post(f"{place}/records:batch", {"upsert": [record for _, record in batch]})
    for (line, _), item in zip(batch, answer["items"], strict=True):
        if item["status"] < 400:
            outcome.stored += 1
        else:
            outcome.refused.append((line, item["detail"]))
    outcome.seq = max(outcome.seq, answer["seq"])
    advance(outcome.stored + len(outcome.refused))


def _put_titles(client: Client, place: str, rows: list[Row]) -> None:
    titles = {row.group: row.title for row in rows if row.group is not None and row.title is not None}
    for group, title in titles.items():
        client.patch(f"{place}/groups/{quote(group, safe='')}", {"title": title[:1000]})


def _wait_until_visible(client: Client, place: str, seq: int, progress: Progress) -> None:
    advance = _bar(progress, "making searchable", seq)
    reached, moved_at = -1, time.monotonic()
    while reached < seq:
        visible = client.get(place)["visible_seq"]
        if visible > reached:
            reached, moved_at = visible, time.monotonic()
        elif time.monotonic() - moved_at > _NO_PROGRESS_S:
            raise ClientError(f"stored, but stuck at change {reached} of {seq}: look at the server's log")
        advance(min(reached, seq))
        if reached < seq:
            time.sleep(0.05)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _bar(progress: Progress, description: str, total: int) -> Callable[[int], None]:
    task = progress.add_task(description, total=total)
    return lambda done: progress.update(task, completed=done)


def _report(console: Console, dataset: DatasetFile, outcome: Outcome, seconds: float) -> None:
    lines = [(bad.line, bad.reason) for bad in dataset.bad_rows] + outcome.refused
    for line, reason in sorted(lines)[:_SHOWN]:
        console.print(f"line {line}: {reason}", markup=False)
    if len(lines) > _SHOWN:
        console.print(f"... and {len(lines) - _SHOWN} more")
    rate = outcome.stored / max(seconds, 1e-9)
    print(
        f"{outcome.stored} records are searchable, {len(lines)} lines left out, "
        f"{seconds:.1f} s, {rate:,.0f} records/s ({dataset.encoding})"
    )
