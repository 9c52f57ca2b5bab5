"""A SQLite database of very many records, made by SQL: filling it through the server would take minutes."""

import sqlite3
from pathlib import Path
from typing import Final

from tests.conftest import add_encoder
from tests.fakes.running import make_settings

_STATEMENTS: Final = (
    """INSERT INTO collections (id, name, settings, last_seq, active_release, version)
       VALUES (1, 'faq', '{}', :n, 1, 1)""",
    """INSERT INTO releases (collection_id, number, encoder_sha, state, decision)
       VALUES (1, 1, :sha, 'active', '{}')""",
    """INSERT INTO groups (collection_id, key, title, version)
       WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :n_groups)
       SELECT 1, 'group-' || i, 'How do I do number ' || i, 1 FROM numbers""",
    """INSERT INTO records (collection_id, id, text, group_id, role, source, metadata, content_hash, seq, version,
                            created_at, updated_at)
       WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :n)
       SELECT 1, 'record-' || i, 'how do I get number ' || i || ' back when ' || hex(randomblob(12)) || ' 我要退款',
              1 + i % :n_groups, 'example', 'import', '{"lang":"en","n":' || i || '}', lower(hex(randomblob(32))), i, 1,
              '2026-11-22 10:11:12.123456', '2026-11-22 10:11:12.123456'
       FROM numbers""",
    """INSERT INTO changes (collection_id, seq, record_id, op, tag)
       SELECT 1, record_id, record_id, 'upsert', abs(random()) / 2 FROM records""",
    """INSERT INTO record_labels (record_id, label)
       SELECT record_id, 'label-' || record_id % 50 FROM records WHERE record_id % 2 = 0""",
)


def fill_by_sql(data: Path, bundle: Path, n: int) -> None:
    """Make a data folder with the collection `faq` of n records, ten to a group, every other one with a label."""
    values = {"n": n, "n_groups": max(1, n // 10), "sha": add_encoder(make_settings(data), bundle)}
    connection = sqlite3.connect(data / "samesay.db")
    with connection:
        for statement in _STATEMENTS:
            connection.execute(statement, values)
    connection.close()
