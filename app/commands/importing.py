"""`samesay import`: a file of sentences into a collection of a running server."""

import sys
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.console import Console

from app.bulk.forms import Form, form_of_name
from app.commands.client import Client, ClientError, ForbiddenError, path_of
from app.commands.following import follow
from app.commands.shared import DEFAULT_URL, KeyOption, UrlOption, plain_errors
from model.contract.terminal import harmless

MOST_SHOWN: Final = 20
"""Rejected rows that are named."""

ColumnsOption = Annotated[
    str,
    typer.Option(
        help="The file's column for some of ours: text:question,group:intent; with a comma: '\"text:a, b\",group:c'"
    ),
]
FormOption = Annotated[Form | None, typer.Option(help="What the file is, where its name does not say; packed or not.")]
CharsetOption = Annotated[
    str | None,
    typer.Option(help="Of a text that is neither UTF-8 nor found out to be UTF-16 or GB18030: big5, say."),
]
STDIN: Final = Path("-")


def import_file(
    collection: Annotated[str, typer.Argument(help="Name of the collection; it must exist.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="NDJSON, CSV, TSV, Parquet or XLSX by its name, packed where that ends in .gz or .zst; - is stdin."
        ),
    ],
    columns: ColumnsOption = "",
    form: FormOption = None,
    charset: CharsetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    max_rejected: Annotated[int, typer.Option(help="Rows that may be left out before the import fails.")] = 1000,
    detach: Annotated[bool, typer.Option("--detach", help="Print the id of the job, and do not wait.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Send a file to a server, which imports it as a job, and wait until searches find its sentences.

    Importing it again changes nothing. Rows that are left out are named; --max-rejected 0 makes each of them an error.
    Ctrl-C ends the waiting, not the job.
    """
    with plain_errors(), Client(url, api_key) as client:
        options = {"columns": columns, "dry_run": dry_run, "max_rejected": max_rejected}
        job = send_file(client, collection, file, form=form, charset=charset, **options)
        if detach:
            print(job["id"])
            return
        started = time.monotonic()
        job = follow(client, job["id"])
        _report(client, job, time.monotonic() - started, dry_run=dry_run)


def send_file(
    client: Client,
    collection: str,
    file: Path,
    *,
    form: Form | None = None,
    charset: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Upload a file, whose form and encoding are found out unless they are said; the job of its import."""
    headers = _headers(file, form, charset)
    place = path_of("collections", collection)
    with suppress(ForbiddenError):  # a key that may import need not be one that may read
        client.get(place)  # a collection that is not there is said before the file is sent
    with opened(file) as content:
        started: dict[str, Any] = client.upload(f"{place}/imports", content, headers, **options)
        return started


def _headers(file: Path, form: Form | None, charset: str | None) -> dict[str, str]:
    """What an upload is; where its form is said, the server sees by itself whether it is packed."""
    encoding = None
    if form is None:
        if file == STDIN:
            raise ClientError(f"stdin has no name that says what it is: give --form {'|'.join(Form)}")
        form, packing = form_of_name(file.name)
        encoding = packing.content_encoding
    headers = {"Content-Type": form.content_type + (f";charset={charset}" if charset else "")}
    return headers | ({} if encoding is None else {"Content-Encoding": encoding})


def opened(file: Path) -> AbstractContextManager[BinaryIO]:
    """The file that a command was given, or stdin.

    Raises:
        ClientError: It cannot be read.
    """
    if file == STDIN:
        if sys.stdin is None:  # as `<&-` has it
            raise ClientError("stdin is closed: pipe the file in, or give its name")
        return nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None


def _report(client: Client, job: dict[str, Any], seconds: float, *, dry_run: bool) -> None:
    console = Console(stderr=True, soft_wrap=True)
    result = job["result"] or {}
    results = path_of("jobs", job["id"], "results")
    for shown, row in enumerate(client.lines(results) if result.get("rejected") else ()):
        if shown == MOST_SHOWN:
            console.print(f"... and {result['rejected'] - MOST_SHOWN} more: GET {results}")
            break
        console.print(harmless(f"line {row['line']}: {row['detail']}"), markup=False)
    if result.get("ignored_columns"):
        ignored = harmless(", ".join(result["ignored_columns"]))
        console.print(f"columns that were not read: {ignored}", markup=False)
    if job["error"] is not None:
        raise ClientError(f"{job['error']['detail']} ({job['error']['code']})")
    if job["state"] == "cancelled":
        if dry_run:
            raise ClientError("the dry run was cancelled; nothing was stored, as in every dry run")
        raise ClientError("the import was cancelled; what was stored stays, and importing again changes nothing of it")
    told = ", ".join(f"{result[code]} {code}" for code in ("created", "updated", "unchanged", "rejected"))
    if result["group"]:
        told += f", {result['group']} describing a group"
    when = "nothing was stored, as in every dry run" if result["dry_run"] else f"searchable after {seconds:.1f} s"
    print(f"{result['rows']} rows: {told}; {when}, {result['rows'] / max(seconds, 1e-9):,.0f} rows/s")
