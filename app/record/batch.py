"""A batch of changes, item by item: one bad item never fails the others."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from app.errors import InvalidValueError
from app.http.body import invalid_value, parse_body
from app.http.errors import invalid
from app.record.schemas import BatchItem, BatchRequest, LooseBatch, RecordDraft
from app.schemas import MOST_ITEMS, Key

_DRAFT: Final = TypeAdapter(RecordDraft)
_KEY: Final[TypeAdapter[str]] = TypeAdapter(Key)


@dataclass(slots=True)
class Batch:
    """What of a batch can be done.

    Attributes:
        upserts: Checked upserts by position.
        deletes: Checked deletes by position; positions go on where the upserts end.
        refused: Items that cannot be done, by position.
        size: Items in all.
    """

    size: int
    upserts: dict[int, RecordDraft] = field(default_factory=dict)
    deletes: dict[int, str] = field(default_factory=dict)
    refused: dict[int, BatchItem] = field(default_factory=dict)


def parse_batch(body: bytes) -> Batch:
    """Read a batch; raises where not even its outline is right."""
    try:
        whole = BatchRequest.model_validate_json(body)
        upserts: list[Any] = list(whole.upsert)
        deletes: list[Any] = list(whole.delete)
    except ValidationError:
        loose = parse_body(body, LooseBatch)
        upserts, deletes = loose.upsert, loose.delete
    if not 0 < len(upserts) + len(deletes) <= MOST_ITEMS:
        raise InvalidValueError(f"the batch has {len(upserts) + len(deletes)} items: send 1 to {MOST_ITEMS}")
    return _check_items(upserts, deletes)


def _check_items(upserts: list[Any], deletes: list[Any]) -> Batch:
    batch = Batch(len(upserts) + len(deletes))
    seen: set[str] = set()
    for position, item in enumerate(upserts):
        try:
            draft = item if isinstance(item, RecordDraft) else _DRAFT.validate_python(item)
        except ValidationError as error:
            batch.refused[position] = _refused(
                item, invalid_value(error, item, RecordDraft, prefix=f"/upsert/{position}")
            )
        else:
            _accept(batch, seen, position, draft.id, draft)
    for position, item in enumerate(deletes, start=len(upserts)):
        try:
            key = _KEY.validate_python(item, strict=True)
        except ValidationError as error:
            prefix = f"/delete/{position - len(upserts)}"
            batch.refused[position] = _refused(item, invalid(error, prefix=prefix))
        else:
            _accept(batch, seen, position, key, None)
    return batch


def _accept(batch: Batch, seen: set[str], position: int, key: str, draft: RecordDraft | None) -> None:
    if key in seen:
        detail = f"the id {key!r} is in this batch before: the first one counts; send the other in a later batch"
        batch.refused[position] = BatchItem(id=key, status=409, code="duplicate_id", detail=detail)
        return
    seen.add(key)
    if draft is None:
        batch.deletes[position] = key
    else:
        batch.upserts[position] = draft


def _refused(item: Any, error: InvalidValueError) -> BatchItem:
    key = item.get("id") if isinstance(item, dict) else item
    return BatchItem(id=_printable(key), status=error.status, code=error.code, detail=error.detail)


def _printable(key: Any) -> str | None:
    if not isinstance(key, str):
        return None
    try:
        orjson.dumps(key)
    except orjson.JSONEncodeError:
        return None
    return key[:256]
