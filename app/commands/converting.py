"""`samesay convert`: a file of any form that imports take, such as a spreadsheet, to one that the trainer reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from app.bulk.forms import SNIFFED_BYTES, Form, UploadForm, form_of
from app.commands.client import ClientError
from app.commands.importing import MOST_SHOWN, STDIN, CharsetOption, ColumnsOption, FormOption, opened
from app.commands.shared import plain_errors
from model.contract.terminal import harmless

if TYPE_CHECKING:
    from app.bulk.reading.parsing import Rejected

_ENDINGS: Final = (".ndjson", ".jsonl")


def convert(
    source: Annotated[Path, typer.Argument(help="XLSX, Parquet, CSV, TSV or NDJSON; packed or not.")],
    target: Annotated[Path, typer.Argument(help="Where to write it: FILE.ndjson or .jsonl.")],
    columns: ColumnsOption = "",
    form: FormOption = None,
    charset: CharsetOption = None,
    max_rejected: Annotated[int, typer.Option(help="Rows that may be left out.", min=0)] = 1000,
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET if it is there.")] = False,
) -> None:
    """Write a file's sentences as NDJSON, which `samesay train`, `evaluate` and `import` read: a spreadsheet's, say."""
    from app.bulk import converting
    from app.bulk.reading.columns import ColumnMap
    from app.bulk.renames import read_renames

    with plain_errors():
        _check(target, force=force)
        console = Console(stderr=True, soft_wrap=True)
        ours, told = ColumnMap(read_renames(columns)), _Told(console)
        found = _form_of(source, form, charset)
        done = converting.convert(source, target, found, ours, max_rejected=max_rejected, tell=told)
        told.end()
        if ours.ignored_columns:
            console.print(f"columns that were not read: {harmless(', '.join(ours.ignored_columns))}", markup=False)
        left_out = f"{done.rejected} rejected" + (f", {done.groups} without a sentence" if done.groups else "")
        print(f"{done.sentences} sentences in {target}; left out: {left_out}")


def _check(target: Path, *, force: bool) -> None:
    if target.suffix.lower() not in _ENDINGS:
        raise ClientError(f"{target}: name it {' or '.join(_ENDINGS)}")
    if not target.absolute().parent.is_dir():
        raise ClientError(f"{target}: there is no folder {target.parent}: make it, or give another name")
    if target.exists() and not force:
        raise ClientError(f"{target} is there already: give --force to replace it, or another name")


def _form_of(source: Path, form: Form | None, charset: str | None) -> UploadForm:
    """What a server would take it for."""
    if source == STDIN:
        raise ClientError("a pipe cannot be converted, which takes two looks: give the name of a file")
    said = form.content_type if form else "application/octet-stream"
    with opened(source) as file:
        return form_of(
            said + (f";charset={charset}" if charset else ""), None, file.read(SNIFFED_BYTES), name=source.name
        )


class _Told:
    """Names the first rejected rows on stderr, and counts the others."""

    def __init__(self, console: Console) -> None:
        self._console, self._n = console, 0

    def __call__(self, row: "Rejected") -> None:
        self._n += 1
        if self._n <= MOST_SHOWN:
            self._console.print(harmless(f"line {row.line}: {row.detail}"), markup=False)

    def end(self) -> None:
        """Say how many were not named."""
        if self._n > MOST_SHOWN:
            self._console.print(f"... and {self._n - MOST_SHOWN} more")
