"""`samesay openapi`: write the OpenAPI document."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.shared import plain_errors


def openapi(
    out: Annotated[Path | None, typer.Option(help="File to write; without one, stdout.")] = None,
) -> None:
    """Write the OpenAPI document of this version."""
    import orjson

    from app.main import bare_app

    document = orjson.dumps(bare_app().openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    if out is None:
        typer.echo(document.decode(), nl=False)
        return
    with plain_errors():
        out.write_bytes(document)
