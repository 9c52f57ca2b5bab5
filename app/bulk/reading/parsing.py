"""From a row of a file to what is to be stored, checked as a record of the HTTP interface is."""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from app.bulk.forms import Form
from app.bulk.reading.cells import as_json, as_payload, as_string
from app.bulk.reading.columns import ColumnMap, Plan
from app.bulk.reading.content_ids import content_id
from app.bulk.reading.rows import Fault, FaultCode, RawRow, SheetValue
from app.group.schemas import GroupPut
from app.http.body import invalid_value
from app.http.errors import invalid
from app.record.schemas import RecordDraft
from app.record.tables import Source
from app.schemas import Key
from model.contract.dataset import parse_metadata
from model.contract.labels import Labels, likely_labels, parse_labels

_RECORD: Final = TypeAdapter(RecordDraft)
_GROUP: Final = TypeAdapter(GroupPut)
_KEY: Final[TypeAdapter[str]] = TypeAdapter(Key)
_MOST_KEPT: Final = 1000
_MOST_KEPT_CHARACTERS: Final = 1000
"""What many rows share is looked at once: so many things, each no longer than this."""


class GroupDraft(NamedTuple):
    """What a row says of a group; None where it says nothing."""

    id: str
    title: str | None
    payload: Any


class RecordRow(NamedTuple):
    """A record, and what its row says of its group."""

    line: int
    record: RecordDraft
    group: GroupDraft | None


class GroupRow(NamedTuple):
    """A row without a text: a group that may have no records."""

    line: int
    group: GroupDraft


class Rejected(NamedTuple):
    """A row that is left out, and why; the detail names the field."""

    line: int
    code: FaultCode
    detail: str


K = TypeVar("K")
V = TypeVar("V")
Parsed = RecordRow | GroupRow | Rejected


class RowParser:
    """Checks the rows of one file."""

    def __init__(self, columns: ColumnMap, form: Form) -> None:
        self._columns = columns
        self._form = form
        self._blank_is_absent = form in (Form.CSV, Form.TSV, Form.XLSX)
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._read_labels: dict[str | tuple[str], list[str]] = {}
        self._checked_groups: dict[tuple[str | None, str | None], tuple[str | None, Any]] = {}

    def parse(self, raw: RawRow) -> Parsed:
        """Check one row; what is wrong with it fails no other."""
        line, cells = raw
        if isinstance(cells, Fault):
            return Rejected(line, cells.code, cells.detail)
        try:
            return self._parse(line, cells)
        except ValidationError as error:
            return Rejected(line, FaultCode.INVALID_VALUE, invalid(error).detail.removeprefix("/"))
        except ValueError as error:
            return Rejected(line, FaultCode.INVALID_VALUE, str(error))
        except RecursionError:
            return Rejected(line, FaultCode.INVALID_VALUE, "a value is nested hundreds of levels deep: flatten it")

    def _parse(self, line: int, cells: Mapping[str, Any]) -> RecordRow | GroupRow:
        plan = self._plan(cells)
        text = self._text(cells, plan.text)
        group = self._name(cells, plan.group, "group")
        key = self._name(cells, plan.id, "id")
        about = self._about_group(cells, plan, group)
        if text is None:
            if key is not None or group is None or (about is None and not self._names_a_group(plan)):
                raise ValueError(f"text: is missing{_from(plan.text, 'text')}")
            about = about or GroupDraft(group, None, None)
            return GroupRow(line, about._replace(id=_check_group_id(group)))
        record: dict[str, Any] = {"id": key or content_id(text, group), "text": text, "source": Source.IMPORT}
        if group is not None:
            record["group"] = group
        if plan.labels is not None and (labels := self._labels(cells[plan.labels])):
            record["labels"] = labels
        if plan.role is not None and (role := self._name(cells, plan.role, "role")) is not None:
            record["role"] = role
        if (plan.metadata is not None or plan.parts) and (metadata := self._metadata(cells, plan)):
            record["metadata"] = metadata
        return RecordRow(line, _check_record(record), about)

    def _names_a_group(self, plan: Plan) -> bool:
        """Whether a row that says nothing but a group's name is meant to: in a table it may be one with a gap."""
        return not self._blank_is_absent and (plan.title is not None or plan.payload is not None)

    def _plan(self, cells: Mapping[str, Any]) -> Plan:
        names = tuple(cells)
        plan = self._plans.get(names)
        if plan is None:
            plan = _kept(self._plans, names, self._columns.plan(names), sum(map(len, names)))
        return plan

    def _text(self, cells: Mapping[str, Any], column: str | None) -> str | None:
        value = None if column is None else cells[column]
        if value is None or (self._blank_is_absent and value == ""):
            return None
        return value if type(value) is str else as_string(value, self._form, field="text")

    def _name(self, cells: Mapping[str, Any], column: str | None, field: str) -> str | None:
        """A string without the white space around it; None where it is blank."""
        value = None if column is None else cells[column]
        if value is None:
            return None
        return (value if type(value) is str else as_string(value, self._form, field=field)).strip() or None

    def _title(self, cells: Mapping[str, Any], column: str | None) -> str | None:
        """As `_name`, but white space that was written on purpose is kept: an export comes back as it was."""
        title = self._name(cells, column, "title")
        given = None if title is None or column is None or self._blank_is_absent else cells[column]
        return given if type(given) is str else title

    def _about_group(self, cells: Mapping[str, Any], plan: Plan, group: str | None) -> GroupDraft | None:
        if plan.title is None and plan.payload is None:
            return None
        title = self._title(cells, plan.title)
        payload = None if plan.payload is None else as_payload(cells[plan.payload], self._form)
        if title is None and payload is None:
            return None
        if group is None:
            if payload is not None:
                raise ValueError("payload: belongs to a group, and the row names none: name it, or leave payload empty")
            return None
        if payload is not None and not isinstance(payload, str):
            return GroupDraft(group, *_check_group(title, payload))
        checked = self._checked_groups.get((title, payload))
        if checked is None:
            size = len(title or "") + len(payload or "")
            checked = _kept(self._checked_groups, (title, payload), _check_group(title, payload), size)
        return GroupDraft(group, *checked)

    def _labels(self, cell: Any) -> list[str]:
        if isinstance(cell, SheetValue):
            cell = as_string(cell, self._form, field="labels")
        key = cell if isinstance(cell, str) else (repr(cell),)
        found = self._read_labels.get(key)
        if found is None:
            labels = _parse_labels(cell)
            found = list(likely_labels(labels.hard, labels.weights))
            _kept(self._read_labels, key, found, len(key if isinstance(key, str) else key[0]))
        return found

    def _metadata(self, cells: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
        metadata = {} if plan.metadata is None else dict(parse_metadata(cells[plan.metadata]))
        for column, key in plan.parts:
            value = as_json(cells[column])
            if value is None or (self._blank_is_absent and value == ""):
                continue
            if isinstance(value, float) and not math.isfinite(value):  # as data frames mark what is missing
                raise ValueError(f"metadata: column {column!r} is {value}, which JSON lacks: leave the cell empty")
            if key in metadata:
                raise ValueError(f"metadata: {key!r} stands in it and in column {column!r}: give it once")
            metadata[key] = value
        return metadata


def _parse_labels(cell: Any) -> Labels:
    try:
        return parse_labels(cell)
    except ValueError as error:
        raise ValueError(f"labels: {error}") from None


def _check_record(record: dict[str, Any]) -> RecordDraft:
    try:
        return _RECORD.validate_python(record)
    except ValidationError as error:
        raise ValueError(invalid_value(error, record, RecordDraft).detail.removeprefix("/")) from None


def _check_group_id(group: str) -> str:
    """Of a row with a record, the record's check has it too."""
    try:
        return _KEY.validate_python(group, strict=True)
    except ValidationError as error:
        raise ValueError(invalid(error, prefix="/group").detail.removeprefix("/")) from None


def _check_group(title: str | None, payload: Any) -> tuple[str | None, Any]:
    checked = _GROUP.validate_python({"title": title, "payload": payload})
    return checked.title, checked.payload


def _kept(kept: dict[K, V], key: K, value: V, characters: int) -> V:
    """Keep what was made of a key, unless the key is long."""
    if characters <= _MOST_KEPT_CHARACTERS:
        if len(kept) == _MOST_KEPT:
            kept.clear()
        kept[key] = value
    return value


def _from(column: str | None, field: str) -> str:
    return f" (column {column!r})" if column is not None and column != field else ""
