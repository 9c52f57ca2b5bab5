"""Which column of a file is which of ours."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from app.bulk.reading.rows import UploadCode, UploadError
from model.contract.dataset import COLUMN_NAMES, separators_to_use

FIELDS: Final = ("text", "group", "labels", "title", "payload", "id", "role", "metadata")
METADATA_PREFIX: Final = "metadata."
_MOST_TOLD: Final = 100


class Plan(NamedTuple):
    """The file's column for each of ours, None where it has none.

    Attributes:
        parts: Columns of single metadata values, each with the name of its value.
    """

    text: str | None
    group: str | None
    labels: str | None
    title: str | None
    payload: str | None
    id: str | None
    role: str | None
    metadata: str | None
    parts: tuple[tuple[str, str], ...]

    @property
    def used(self) -> list[str]:
        """The file's columns that are to be read."""
        return [name for name in (*self[: len(FIELDS)], *(name for name, _ in self.parts)) if isinstance(name, str)]

    @property
    def may_define_groups(self) -> bool:
        """Whether its rows say something without a text."""
        return self.group is not None and (self.title is not None or self.payload is not None)


class ColumnMap:
    """Finds our columns in a file: those its sender names, else by the names they usually have, whatever their case.

    Args:
        renames: The file's column for some of ours, such as {"text": "question"}.
        ignored: Columns that were met before and not read.

    Raises:
        UploadError: A key of `renames` is none of our columns, or two of them name the same column.
    """

    def __init__(self, renames: Mapping[str, str] | None = None, ignored: Iterable[str] = ()) -> None:
        self._renames = dict(renames or {})
        self._ignored: dict[str, None] = dict.fromkeys(ignored)
        for ours in self._renames:
            if ours not in FIELDS:
                detail = f"columns={ours}:{self._renames[ours]}: {ours!r} is none of {', '.join(FIELDS)}"
                raise UploadError(UploadCode.UNKNOWN_COLUMN, detail)
        twice = [name for name, count in Counter(map(_folded, self._renames.values())).items() if count > 1]
        if twice:
            raise UploadError(UploadCode.DUPLICATE_COLUMN, f"column {twice[0]!r} is given two meanings: give it one")

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """Columns met so far that were not read, in their order, the first hundred of them."""
        return tuple(self._ignored)

    def choose(self, found: Sequence[str], *, of_every_row: bool) -> Collection[str]:
        """The columns to read; app/bulk/reading/rows.py says more."""
        plan = self.plan(found)
        for ours, theirs in self._renames.items():
            if getattr(plan, ours) is None and (of_every_row or (ours == "text" and not plan.may_define_groups)):
                detail = f"columns={ours}:{theirs}: there is no column {theirs!r}, only {_listed(found)}"
                remedy = separators_to_use(found)
                raise UploadError(UploadCode.UNKNOWN_COLUMN, f"{detail}: {remedy}" if remedy else detail)
        if plan.text is None and not plan.may_define_groups:
            usual = " or ".join(COLUMN_NAMES["text"])
            remedy = separators_to_use(found) or "name it, as in ?columns=text:question"
            raise UploadError(UploadCode.MISSING_COLUMN, f"there is no column {usual}, only {_listed(found)}: {remedy}")
        counts = Counter(map(_folded, found))
        for name in plan.used:
            if of_every_row and counts[_folded(name)] > 1:
                raise UploadError(UploadCode.DUPLICATE_COLUMN, f"there are two columns {name!r}: rename one of them")
        return plan.used

    def plan(self, found: Sequence[str]) -> Plan:
        """Where our columns are among these."""
        by_folded: dict[str, str] = {}
        for name in found:
            folded = _folded(name)
            if name == folded or folded not in by_folded:  # the name itself comes before its other spellings
                by_folded[folded] = name
        renamed = {ours: by_folded.get(_folded(theirs)) for ours, theirs in self._renames.items()}
        free = {folded: name for folded, name in by_folded.items() if name not in renamed.values()}
        fields = renamed | {ours: _first(COLUMN_NAMES[ours], free) for ours in FIELDS if ours not in renamed}
        parts = tuple((name, key) for name in free.values() if (key := _part(name)))
        known = {*fields.values(), *(name for name, _ in parts)}
        self._ignore(name for name in found if name and name not in known)
        return Plan(parts=parts, **fields)

    def _ignore(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self._ignored) == _MOST_TOLD:
                return
            self._ignored[name[:_MOST_TOLD]] = None


def _folded(name: str) -> str:
    """What names that mean the same share; the name of a metadata value keeps its case."""
    name = name.strip()
    part = _part(name)
    return METADATA_PREFIX + part if part else name.lower()


def _first(names: Iterable[str], by_folded: Mapping[str, str]) -> str | None:
    return next((by_folded[name] for name in names if name in by_folded), None)


def _part(name: str) -> str:
    """The metadata value that a column holds alone, as `region` of `metadata.region`; empty where it holds none."""
    name = name.strip()
    return name[len(METADATA_PREFIX) :] if name[: len(METADATA_PREFIX)].lower() == METADATA_PREFIX else ""


def _listed(found: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:_MOST_TOLD]) for name in found[:_MOST_TOLD]) or "nothing"
    return f"{shown} and more" if len(found) > _MOST_TOLD else shown
