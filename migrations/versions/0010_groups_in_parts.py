"""The index of records by group lies in parts, which a foreign key could not use."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INDEX = "ix_records_group_id"
_KEY = "fk_records_group_id_groups"
_UNIQUE = "CONSTRAINT uq_records_collection_id_id"
_CLAUSE = f"CONSTRAINT {_KEY} FOREIGN KEY(group_id) REFERENCES groups (id), \n\t"

_LOCK_MS = 300
"""Less than the second after which PostgreSQL looks for deadlocks and ends one of the two."""

_NO_LOCK = "55P03"


def upgrade() -> None:
    """Exchange the index, and drop the foreign key: whoever deletes a group has looked after its records."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        _lock_both()
    op.drop_index(_INDEX, table_name="records")
    if is_sqlite:
        _rewrite(_CLAUSE, "")
    else:
        op.drop_constraint(_KEY, "records", type_="foreignkey")
    op.create_index(_INDEX, "records", [sa.text("(record_id >> 14)"), "group_id"], unique=False)


def downgrade() -> None:
    """Exchange them back."""
    op.drop_index(_INDEX, table_name="records")
    if op.get_bind().dialect.name == "sqlite":
        _rewrite(_UNIQUE, _CLAUSE + _UNIQUE)
    else:
        op.create_foreign_key(_KEY, "records", "groups", ["group_id"], ["id"])
    op.create_index(_INDEX, "records", ["group_id"], unique=False)


def _lock_both() -> None:
    """Hold both tables or neither: a server that reads the one and then the other would wait for us, and we for it."""
    connection = op.get_bind()
    while True:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_MS}")
                connection.exec_driver_sql("LOCK TABLE groups, records")
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _NO_LOCK:
                raise
        else:
            connection.exec_driver_sql("SET LOCAL lock_timeout = DEFAULT")
            return


def _rewrite(old: str, new: str) -> None:
    """Change the text of the table's definition, as SQLite says for constraints (lang_altertable.html, section 7).

    A new table with the rows copied would take a million records twice, and dropping the old one their labels.
    """
    connection = op.get_bind()
    change = "UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE type = 'table' AND name = 'records'"
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    connection.execute(sa.text(change), {"old": old, "new": new})
    connection.exec_driver_sql("PRAGMA writable_schema=RESET")
    keys = {row[2] for row in connection.exec_driver_sql("PRAGMA foreign_key_list(records)")}
    if ("groups" in keys) != (_KEY in new):
        raise RuntimeError(f"the table of records could not be changed: its foreign keys are those to {sorted(keys)}")
