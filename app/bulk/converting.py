"""From a file of any form that imports take to NDJSON, which the trainer reads as well: the same rows, checked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.bulk.forms import Form, UploadForm
from app.bulk.reading.cells import as_string
from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.opening import open_rows
from app.bulk.reading.parsing import RecordRow, Rejected, RowParser
from app.bulk.reading.rows import SheetValue
from model.contract.errors import DatasetError
from model.contract.files import whole_file


@dataclass(slots=True)
class Converted:
    """What became of a file's rows.

    Attributes:
        sentences: Rows that were written.
        groups: Rows that describe a group and have no text: left out.
        rejected: Rows that are wrong: left out.
    """

    sentences: int = 0
    groups: int = 0
    rejected: int = 0


def convert(
    source: Path,
    target: Path,
    form: UploadForm,
    columns: ColumnMap,
    *,
    max_rejected: int,
    tell: Callable[[Rejected], None],
) -> Converted:
    """Write a file's sentences, with all that is said of them; the target is there whole or not at all.

    Args:
        form: Of the source.
        columns: Which column of the source is which of ours.
        max_rejected: So many rows may be left out.
        tell: Hears of each of them.

    Raises:
        UploadError: The file cannot be read, or not any further.
        DatasetError: More rows are rejected, or all of them.
    """
    done = Converted()
    with whole_file(target) as file:
        for row, cells in _sentences(source, form, columns, max_rejected, done, tell):
            fields = _fields(row, cells, columns, form.form)
            file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
        if not done.sentences:
            raise DatasetError(f"{source} has no row with a sentence that can be used: mend it")
    return done


def _sentences(
    source: Path,
    form: UploadForm,
    columns: ColumnMap,
    max_rejected: int,
    done: Converted,
    tell: Callable[[Rejected], None],
) -> Iterator[tuple[RecordRow, Mapping[str, Any]]]:
    """The rows that have one, and their cells as they stand there."""
    parser = RowParser(columns, form.form)
    for raw in open_rows(source, form.form, form.packing, charset=form.charset, columns=columns):
        row = parser.parse(raw)
        if isinstance(row, RecordRow):
            assert isinstance(raw.cells, Mapping)
            done.sentences += 1
            yield row, raw.cells
        elif isinstance(row, Rejected):
            done.rejected += 1
            tell(row)
            if done.rejected > max_rejected:
                raise DatasetError(
                    f"more than {max_rejected} rows of {source} are rejected: mend it, or allow more by --max-rejected"
                )
        else:
            done.groups += 1


def _fields(row: RecordRow, cells: Mapping[str, Any], columns: ColumnMap, form: Form) -> dict[str, Any]:
    """A row as the trainer reads it: labels as they are written, since those that only may apply teach it too."""
    record, plan = row.record, columns.plan(tuple(cells))
    labels = None if plan.labels is None else cells[plan.labels]
    given = {
        "id": None if plan.id is None or cells[plan.id] in (None, "") else record.id,
        "group": record.group,
        "labels": as_string(labels, form, field="labels") if isinstance(labels, SheetValue) else labels,
        "title": None if row.group is None else row.group.title,
        "role": None if plan.role is None else record.role,
        "metadata": record.metadata,
    }
    return {"text": record.text} | {name: value for name, value in given.items() if value not in (None, "", {})}
