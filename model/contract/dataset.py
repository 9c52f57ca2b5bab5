"""Files of sentences: TSV, CSV and NDJSON to rows, bad ones reported by line. For training and imports alike."""

import csv
import io
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from model.contract.charsets import believed
from model.contract.errors import DatasetError
from model.contract.labels import likely_labels, parse_labels

MOST_TEXT_BYTES: Final = 100_000
COLUMN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("text", "sentence", "utterance", "question", "query"),
    "group": ("group", "group_id", "label", "intent", "category"),
    "labels": ("labels", "tags"),
    "title": ("title", "standard_question"),
    "payload": ("payload",),
    "id": ("id", "record_id"),
    "role": ("role",),
    "metadata": ("metadata",),
}
"""What our columns may be called in a file, the likeliest first."""

_BAD_ROWS_ALLOWED: Final = 10
_BAD_SHARE_ALLOWED: Final = 0.01
"""The error budget of a file: so many of its lines, or this share of them if that is more."""

_BETWEEN_DIGITS: Final = re.compile(r"(?<=\d)([\W_]+)(?=\d)")
_SPACED: Final = re.compile(r".*\s.*", re.DOTALL)

OUT_OF_SCOPE: Final = "out_of_scope"
"""Role of a sentence that belongs to no group."""

EXAMPLE: Final = "example"
"""Role of a record that is stored to be found, with a group or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sentence of a file.

    Attributes:
        line: Line number in the file, the header being line 1.
        text: The sentence, verbatim.
        group: Its group, None where the file leaves it empty (out of scope, in a file of queries) or the role is
            out_of_scope.
        labels: Its tags that apply without doubt; model/contract/labels.py says how they are written.
        label_weights: Soft tags, how far each applies, between 0 and 1.
        unknown_labels: Tags of which nobody knows whether they apply.
    """

    line: int
    text: str
    group: str | None = None
    labels: tuple[str, ...] = ()
    label_weights: Mapping[str, float] = field(default_factory=dict)
    unknown_labels: tuple[str, ...] = ()
    title: str | None = None
    id: str | None = None
    role: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def likely_labels(self) -> tuple[str, ...]:
        """The tags that apply more likely than not."""
        return likely_labels(self.labels, self.label_weights)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that was left out, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """What a file held.

    Attributes:
        columns: Those of our columns that any of its rows has, by our name for them.
    """

    path: Path
    encoding: str
    rows: list[Row]
    bad_rows: list[BadRow]
    columns: frozenset[str] = frozenset()


def read_rows(path: Path, *, need: Iterable[str] = ()) -> DatasetFile:
    """Read a file of sentences; its form follows its name (.tsv, .csv, .ndjson or .jsonl).

    TSV has no quoting (a quotation mark is a character), CSV has. UTF-8 with or without a byte-order mark, UTF-16 with
    one, and GB18030 are told apart.

    Args:
        path: The file.
        need: Columns that must be there, of text, group, labels, title, id.

    Raises:
        DatasetError: Unreadable, an unknown form, a missing column, no good row, or too many bad rows (named by line).
    """
    raw = _read(path)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise DatasetError(
            f"{path}: unknown form {path.suffix!r}; give a .tsv, .csv, .ndjson or .jsonl, not packed: "
            f"samesay convert {path} {path.stem}.ndjson makes one"
        )
    content, encoding = _decode(path, raw)
    rows: list[Row] = []
    bad_rows: list[BadRow] = []
    names: set[str] = set()
    for line, cells in parse(path, content):
        names.update(() if isinstance(cells, str) else cells)
        checked = BadRow(line, cells) if isinstance(cells, str) else _to_row(path, line, cells, need)
        (bad_rows if isinstance(checked, BadRow) else rows).append(checked)  # type: ignore[arg-type]
    _check_budget(path, rows, bad_rows)
    columns = frozenset(name for name, aliases in COLUMN_NAMES.items() if names.intersection(aliases))
    return DatasetFile(path, encoding, rows, bad_rows, columns)


def describe_bad_rows(file: DatasetFile) -> list[str]:
    """A sentence for the user on each of the first lines that were left out."""
    return [f"{file.path}: line {bad.line} left out: {bad.reason}" for bad in file.bad_rows[:_BAD_ROWS_ALLOWED]]


def separators_to_use(columns: Sequence[str]) -> str | None:
    """What to do about a header that is one column since others separate it, as spreadsheets of many countries do."""
    if len(columns) == 1 and any(separator in columns[0] for separator in ",;\t|"):
        return "separate the columns by commas in a .csv, by tabs in a .tsv"
    return None


def parse_metadata(cell: Any) -> dict[str, Any]:
    """Read a cell of the metadata column: an object, or its JSON text.

    Raises:
        ValueError: It is no such thing.
    """
    metadata = {} if cell is None or cell == "" else cell
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except RecursionError:
            raise ValueError("metadata is nested hundreds of levels deep: flatten it") from None
        except ValueError:
            raise ValueError("metadata is not JSON") from None
    if not isinstance(metadata, dict):
        raise ValueError("metadata must be an object")
    return metadata


def text_key(text: str) -> str:
    """What two texts share when they count as the same: NFKC, case folded, without punctuation and white space.

    Between digits a mark stays, and space as one: neither is 3.5 the same as 35, nor 1 10 as 11 0.
    """
    folded = _fold(text)
    apart = _BETWEEN_DIGITS.split(folded)  # every other part is what stands between two digits
    parts = [_SPACED.sub(" ", part) if number % 2 else _bare(part) for number, part in enumerate(apart)]
    return "".join(parts) or folded.strip()


def keep_out_key(text: str) -> str:
    """The `text_key` without anything between digits; it must never change: what trainings keep out hangs on it."""
    folded = _fold(text)
    return _bare(folded) or folded.strip()


def cross_group_duplicates(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Texts that stand in more than one group, by `text_key`, with their rows."""
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(text_key(row.text), []).append(row)
    return {key: same for key, same in by_key.items() if len({row.group for row in same}) > 1}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _bare(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PZC")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _decode(path: Path, raw: bytes) -> tuple[str, str]:
    marked = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    encoding = "utf-16" if marked else believed(raw.splitlines())
    try:
        return raw.decode("utf-8-sig" if encoding == "utf-8" else encoding), encoding
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}: line {line} is not {encoding.upper()}, which the file seems to be in; save all of it as UTF-8"
        ) from None


_Cells = Mapping[str, Any] | str
"""Cells by column name, or why the line has none."""


def _parse_tsv(path: Path, content: str) -> Iterator[tuple[int, _Cells]]:
    lines = content.removesuffix("\n").split("\n")
    header = _header(path, lines[0].rstrip("\r").split("\t"))
    for line, text in enumerate(lines[1:], start=2):
        if text.strip(" \r"):
            yield line, _zip_cells(header, text.rstrip("\r").split("\t"))


def _parse_csv(path: Path, content: str) -> Iterator[tuple[int, _Cells]]:
    csv.field_size_limit(2**31 - 1)  # the text is in memory already, and a column of no use may be long
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = _header(path, cells)
            elif cells:
                yield line, _zip_cells(header, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = separators_to_use(header or ()) or "check the quotation marks, or save as TSV"
        raise DatasetError(f"{path}: line {line}: {error}; {remedy}") from error


def _parse_ndjson(path: Path, content: str) -> Iterator[tuple[int, _Cells]]:
    for line, text in enumerate(content.split("\n"), start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except ValueError as error:
            yield line, f"not JSON: {error}"
            continue
        except RecursionError:
            yield line, "a value is nested hundreds of levels deep: flatten it"
            continue
        yield line, value if isinstance(value, dict) else f"a JSON object is wanted, not {type(value).__name__}"


_PARSERS: Final = {".tsv": _parse_tsv, ".csv": _parse_csv, ".ndjson": _parse_ndjson, ".jsonl": _parse_ndjson}


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [name.strip().lower() for name in cells]
    for name in itertools.chain.from_iterable(COLUMN_NAMES.values()):
        if header.count(name) > 1:
            raise DatasetError(f"{path} has {header.count(name)} columns called {name!r}: rename all but one")
    return header


def _zip_cells(header: list[str], cells: list[str]) -> _Cells:
    if len(cells) != len(header):
        return f"{len(cells)} cells where the header has {len(header)}"
    return dict(zip(header, cells, strict=True))


def _cell(cells: Mapping[str, Any], name: str) -> Any:
    for alias in COLUMN_NAMES[name]:
        if alias in cells:
            return cells[alias]
    return None


def _to_row(path: Path, line: int, cells: Mapping[str, Any], need: Iterable[str]) -> Row | BadRow:
    for name in ("text", *need):
        if not any(alias in cells for alias in COLUMN_NAMES[name]):
            found = ", ".join(map(repr, cells)) or "nothing"
            wanted, remedy = " or ".join(COLUMN_NAMES[name]), _remedy_for_columns(path, cells)
            raise DatasetError(f"{path} has no column {wanted}, only {found} (seen at line {line}); {remedy}")
    text = _cell(cells, "text")
    if reason := _text_fault(text):
        return BadRow(line, reason)
    strings = {name: _cell(cells, name) for name in ("group", "title", "id", "role")}
    for name, value in strings.items():
        if value is not None and not isinstance(value, str):
            example = f', such as "{value}"' if type(value) is int else ""
            return BadRow(line, f"{name} is {value!r}; a string is wanted{example}")
        if value is not None and not _is_utf8(value):
            return BadRow(line, f"{name} is {value!a}, which holds half a surrogate pair")
    try:
        labels = parse_labels(_cell(cells, "labels"))
        metadata = parse_metadata(_cell(cells, "metadata"))
    except ValueError as error:
        return BadRow(line, str(error))
    if any(not _is_utf8(label) for label in (*labels.hard, *labels.weights, *labels.unknown)):
        return BadRow(line, "a label holds half a surrogate pair")
    filled = {name: (value.strip() or None) if value else None for name, value in strings.items()}
    if filled["role"] == OUT_OF_SCOPE:
        filled["group"] = None
    return Row(
        line=line,
        text=text,
        labels=labels.hard,
        label_weights=labels.weights,
        unknown_labels=labels.unknown,
        metadata=metadata,
        **filled,
    )


def _remedy_for_columns(path: Path, cells: Mapping[str, Any]) -> str:
    if _PARSERS[path.suffix.lower()] is _parse_ndjson:
        return "give each object one"
    return separators_to_use(list(cells)) or "call one so in the first line, the header"


def _text_fault(text: object) -> str | None:
    if not isinstance(text, str):
        return f"text is {text!r}; a string is wanted"
    if not text.strip():
        return "text is empty"
    if "\0" in text:
        return "text holds a NUL character"
    if len(text.encode(errors="replace")) > MOST_TEXT_BYTES:
        return f"text is longer than {MOST_TEXT_BYTES} bytes"
    return None


def _is_utf8(text: str) -> bool:
    """Whether it can be written: JSON can name half a character."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _check_budget(path: Path, rows: list[Row], bad_rows: list[BadRow]) -> None:
    named = "; ".join(f"line {bad.line}: {bad.reason}" for bad in bad_rows[:5])
    if not rows:
        raise DatasetError(f"{path} holds no usable row. {named}".rstrip())
    if len(bad_rows) > max(_BAD_ROWS_ALLOWED, _BAD_SHARE_ALLOWED * (len(rows) + len(bad_rows))):
        raise DatasetError(f"{path}: {len(bad_rows)} bad rows, more than the error budget. {named}")


def count_groups(rows: Iterable[Row]) -> Counter[str]:
    """Sentences a group, the most frequent first."""
    return Counter(row.group for row in rows if row.group is not None)
