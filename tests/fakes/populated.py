"""A database with rows in every table, chosen to be hard to write down and read again; and all that one holds."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Text, cast, insert, select, text
from sqlalchemy.orm import Session

from app.container import open_encoders
from app.db.database import Database
from app.db.opening import open_database
from app.settings import Settings
from app.tables import Base

HARD_TEXTS = (
    "\\N",  # null, where PostgreSQL copies
    "tab\t, line\n, return\r, both\r\n, back\\slash, \\t, \\.",
    "\\.",
    "'single', \"double\", `back`, \u2028 and \u2029, \x7f",
    "退款 Größe ｆｕｌｌ e\u0301 👩‍👩‍👧 \U0010ffff",
    " ",
    "x" * 100_000,
)
MOMENTS = (
    datetime(2026, 11, 22, 10, 11, 12, 123456, UTC),
    datetime(2026, 11, 22, 10, 11, 12, 0, UTC),
    datetime(1999, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(9999, 12, 31, 23, 59, 59, 1, UTC),
)
HARD_JSON: tuple[Any, ...] = (
    {},
    {"n": 2**63 - 1, "m": -(2**63), "x": 0.1 + 0.2, "y": -0.0, "z": 1e308, "t": True, "s": "\u2028 \\u0000 退款"},
    {"b": 1, "a": [1, [2, {"c": None}]], "": ""},
)


def populate(settings: Settings, bundle: Path) -> None:
    """Fill every table; the records, groups and collections of the highest numbers are deleted again."""
    database = open_database(settings)
    try:
        sha = open_encoders(settings, database).add(bundle, "tiny").sha
        database.write(lambda session: _fill(session, sha)).result()
    finally:
        database.close()


def _fill(session: Session, sha: str) -> None:
    def add(table: str, *rows: dict[str, Any]) -> None:
        for row in rows:  # one by one: they need not have the same columns
            session.execute(insert(Base.metadata.tables[table]).values(**row))

    add("secrets", {"name": "cursor_key", "value": bytes(range(256))}, {"name": "database_id", "value": b"\0\xff\n"})
    add("kept_answers", *(_answer(number) for number in range(1, 4)))
    add(
        "collections", *({"id": n, "name": f"c{n}", "settings": HARD_JSON[n % 3], "last_seq": 2**62} for n in (1, 2, 9))
    )
    add("releases", _release(1, sha, MOMENTS[0]), _release(2, sha, None) | {"report": HARD_JSON[1], "is_warm": True})
    add("release_events", *(_event(number, text) for number, text in enumerate(HARD_TEXTS[:3], start=1)))
    add("groups", *({"collection_id": 1, "key": f"g{n}", "title": HARD_TEXTS[n][:200]} for n in range(4)))
    add("groups", {"collection_id": 2, "key": "退", "title": None, "payload": HARD_JSON[1]})
    add("groups", {"collection_id": 2, "key": "null", "payload": JSON.NULL}, {"collection_id": 2, "key": "last"})
    add("records", *(_record(n, content) for n, content in enumerate(HARD_TEXTS, start=1)))
    add("records", _record(2**40, "the highest"), _record(2**40 + 1, "deleted"))
    add("record_labels", *({"record_id": n, "label": label} for n in (1, 2, 2**40) for label in ("标签", "a|b", "A")))
    add("changes", *({"collection_id": 1, "seq": n, "record_id": 2**40 + n, "op": "upsert"} for n in (1, 2)))
    add("changes", {"collection_id": 2, "seq": 2**62, "record_id": 1, "op": "delete", "tag": 2**62 - 1})
    add("change_marks", *({"collection_id": 1, "seq": n, "marked_at": MOMENTS[n]} for n in (1, 2)))
    add("jobs", *(_job(number, state) for number, state in enumerate(("succeeded", "running"), start=1)))
    add("feedback", *(_feedback(number) for number in (1, 2)))
    add("api_keys", *(_key(number) for number in range(1, 4)))
    add("audit_log", *(_deed(number) for number in (1, 2)))
    add("job_events", *({"job_id": 1, "number": n, "data": HARD_JSON[n % 3]} for n in (1, 2, 3)))
    session.execute(text(f"DELETE FROM records WHERE record_id = {2**40 + 1}"))
    session.execute(text("DELETE FROM groups WHERE key = 'last'"))
    session.execute(text("DELETE FROM collections WHERE id = 9"))
    if session.get_bind().dialect.name == "postgresql":  # numbers that were given by hand do not move a sequence
        session.execute(text(f"SELECT setval(pg_get_serial_sequence('records', 'record_id'), {2**40 + 1})"))
        session.execute(text("SELECT setval(pg_get_serial_sequence('collections', 'id'), 9)"))


def _answer(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "key": f"key {number} 退",
        "fingerprint": "f" * 64,
        "answer": bytes(range(256)) * number,
        "created_at": MOMENTS[number],
        "collection": None if number == 1 else f"c{number}",
    }


def _feedback(number: int) -> dict[str, Any]:
    return {
        "key": f"{number:032x}",
        "collection_id": number,
        "source": "kept_query" if number == 1 else "client",
        "text": HARD_TEXTS[number + 2],
        "text_key": "f" * 32,
        "verdict": None if number == 1 else "right_group",
        "named_group": None if number == 1 else "退款",
        "group_key": None if number == 1 else "退",
        "metadata": HARD_JSON[number],
        "state": "pending",
        "awaits_training": number == 2,
        "count": 2**62,
        "release": number,
        "confidence": 0.1 + 0.2,
        "groups": None if number == 2 else [{"group": "退", "confidence": 1e-300}],
        "last_seen_at": MOMENTS[number],
    }


def _key(number: int) -> dict[str, Any]:
    is_first = number == 1
    return {
        "key": f"{number:016x}",
        "name": HARD_TEXTS[number][:100],
        "digest": bytes(range(32)),
        "old_digest": None if is_first else b"\0\xff\n\\" * 8,
        "old_until": None if is_first else MOMENTS[number],
        "scopes": ["search", "data:read"],
        "collections": None if is_first else ["c1", "退"],
        "rate_limit": None if is_first else 0.1 + 0.2,
        "rate_burst": None if is_first else 2**31 - 1,
        "created_by": "command line",
        "expires_at": None if is_first else MOMENTS[3],
        "revoked_at": MOMENTS[0] if number == 3 else None,
    }


def _deed(number: int) -> dict[str, Any]:
    fields = {"caller": "key 退", "action": "put_group", "status": 201}
    return {**fields, "at": MOMENTS[number], "collection": None if number == 1 else "c1", "target": HARD_TEXTS[number]}


def _job(number: int, state: str) -> dict[str, Any]:
    return {
        "key": f"job{number}",
        "type": "import",
        "state": state,
        "collection_id": 1,
        "collection": "c1",
        "request": HARD_JSON[1],
        "checkpoint": HARD_JSON[2],
        "stage": "storing",
        "done": 2**62,
        "total": None,
        "unit": "rows",
        "per_second": 0.1 + 0.2,
        "result": HARD_JSON[number],
        "attempts": 1,
        "stalls": 0,
        "n_events": 3,
        "worker": None if state == "succeeded" else "w 退",
        "lease_until": None if state == "succeeded" else MOMENTS[1],
        "started_at": MOMENTS[0],
    }


def _event(number: int, why: str) -> dict[str, Any]:
    return {"collection_id": 1, "number": number, "action": "created", "who": "退", "why": why, "at": MOMENTS[number]}


def _release(number: int, sha: str, activated_at: datetime | None) -> dict[str, Any]:
    return {
        "collection_id": 1,
        "number": number,
        "encoder_sha": sha,
        "state": "active",
        "decision": {"max_cosine": 0.5},
        "activated_at": activated_at,
    }


def _record(number: int, content: str) -> dict[str, Any]:
    return {
        "record_id": number,
        "collection_id": 1 + number % 2,
        "id": f"记录 {number}",
        "text": content,
        "group_id": number if number < 4 else None,
        "role": "example",
        "source": "api",
        "metadata": HARD_JSON[number % 3],
        "content_hash": "",
        "seq": 2**62 + number,
        "created_at": MOMENTS[number % 4],
        "updated_at": MOMENTS[(number + 1) % 4],
    }


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, by SQLAlchemy's own types; columns of JSON as the text that is stored."""

    def unit(session: Session) -> dict[str, list[tuple[Any, ...]]]:
        return {
            name: sorted(
                (
                    tuple(row)
                    for row in session.execute(
                        select(*(cast(c, Text) if isinstance(c.type, JSON) else c for c in table.columns))
                    )
                ),
                key=repr,
            )
            for name, table in Base.metadata.tables.items()
        }

    return database.read(unit)


def storage_classes(path: Path) -> dict[str, list[tuple[str, ...]]]:
    """What SQLite says each value of a file is."""
    with sqlite3.connect(path) as connection:
        return {
            name: connection.execute(
                f"SELECT {', '.join(f'typeof({c.name})' for c in table.columns)} FROM {name} "
                f"ORDER BY {', '.join(c.name for c in table.primary_key.columns)}"
            ).fetchall()
            for name, table in Base.metadata.tables.items()
        }
