"""`samesay export`: a collection of a running server to a file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from app.bulk.forms import Form
from app.commands.client import Client, ClientError, path_of
from app.commands.following import follow
from app.commands.shared import DEFAULT_URL, CollectionArgument, KeyOption, UrlOption, plain_errors

_FORMS: Final[Mapping[str, Form]] = {".ndjson": Form.NDJSON, ".jsonl": Form.NDJSON, ".parquet": Form.PARQUET}

_STDOUT: Final = Path("-")


def export(
    collection: CollectionArgument,
    file: Annotated[Path, typer.Argument(help="Where to write it: FILE.ndjson, .jsonl or .parquet; - is stdout.")],
    vectors: Annotated[bool, typer.Option("--vectors", help="With each record's embedding.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Write all groups and records of a collection to a file, as they are at one moment.

    Importing the file gives the same collection again.
    """
    with plain_errors(), Client(url, api_key) as client:
        form = _form_of(file, force=force)
        job = client.post(path_of("collections", collection, "exports"), {"format": form.value, "vectors": vectors})
        job = follow(client, job["id"])
        if job["state"] != "succeeded":
            error = job["error"] or {"detail": "the export was cancelled"}
            raise ClientError(error["detail"])
        path, result = path_of("jobs", job["id"], "file"), job["result"]
        if file == _STDOUT:
            client.copy(path, sys.stdout.buffer)
            return
        client.download(path, file)
        print(f"{result['records']} records and {result['groups']} groups in {file}, {result['bytes']:,} bytes")


def _form_of(file: Path, *, force: bool) -> Form:
    """What to write; stdout gets NDJSON."""
    if file == _STDOUT:
        return Form.NDJSON
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise ClientError(f"{file}: name it {' or '.join(_FORMS)}; exports are written so, and not packed")
    if not file.absolute().parent.is_dir():
        raise ClientError(f"{file}: there is no folder {file.parent}: make it, or give another name")
    if file.exists() and not force:
        raise ClientError(f"{file} is there already: give --force to replace it, or another name")
    return form
