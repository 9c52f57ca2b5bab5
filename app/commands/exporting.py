"""`samesay export`: a collection of a running server to a file."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from app.bulk.forms import Form, Packing, form_of_name
from app.commands.client import Client, ClientError
from app.commands.following import follow
from app.commands.shared import DEFAULT_URL, KeyOption, UrlOption, plain_errors


def export(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    file: Annotated[Path, typer.Argument(help="Where to write it: FILE.ndjson or FILE.parquet.")],
    vectors: Annotated[bool, typer.Option("--vectors", help="With each record's embedding.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Write all groups and records of a collection to a file, as they are at one moment.

    Importing the file gives the same collection again.
    """
    with plain_errors(), Client(url, api_key) as client:
        form, packing = form_of_name(file.name)
        if form not in (Form.NDJSON, Form.PARQUET) or packing is not Packing.NONE:
            raise ClientError(f"{file}: exports are written as .ndjson or .parquet, not packed")
        if file.exists() and not force:
            raise ClientError(f"{file} is there already: give --force to replace it, or another name")
        place = f"/v1/collections/{quote(collection, safe='')}"
        job = client.post(f"{place}/exports", {"format": form.value, "vectors": vectors})
        job = follow(client, job["id"])
        if job["state"] != "succeeded":
            error = job["error"] or {"detail": "the export was cancelled"}
            raise ClientError(error["detail"])
        client.download(f"/v1/jobs/{job['id']}/file", file)
        result = job["result"]
        print(f"{result['records']} records and {result['groups']} groups in {file}, {result['bytes']:,} bytes")
