"""Brings a database to the schema of this version, by the history in `migrations`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from app.db.faults import translated
from app.errors import SchemaOutdatedError, SchemaTooNewError

_UPGRADE_LOCK: Final = 0x73616D65736179
"""Of PostgreSQL's advisory locks: held by whoever upgrades, so that another looks only then at what is missing."""


def upgrade(engine: Engine) -> None:
    """Apply what is missing; nothing where nothing is. Safe while a server runs, and while others do the same."""
    with translated(), engine.connect().execution_options(writes=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":  # SQLite has one writer
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
        upgrade_to(connection, head())


def upgrade_to(connection: Connection, revision: str) -> None:
    """Apply what is missing up to a revision, in the connection's transaction.

    Raises:
        SchemaTooNewError: A newer version has been here.
    """
    found = find_revision(connection)
    if found != revision:
        _refuse_newer(found)
        command.upgrade(_config(connection), revision)


def clear(connection: Connection) -> None:
    """Drop every table of the schema, in the connection's transaction; the database is at a revision we know."""
    command.downgrade(_config(connection), "base")


def check(engine: Engine) -> None:
    """Refuse a database that is not at this version's schema: `check_connection`."""
    with translated(), engine.connect() as connection:
        check_connection(connection)


def check_connection(connection: Connection) -> None:
    """Refuse a database that is not at this version's schema.

    Raises:
        SchemaOutdatedError: Naming both revisions and the command that mends it.
        SchemaTooNewError: A newer version has been here; names both revisions.
    """
    found = find_revision(connection)
    if found != head():
        _refuse_newer(found)
        raise SchemaOutdatedError(
            f"the database is at schema {found or 'none'}, this version needs {head()}: run `samesay db upgrade`"
        )


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in revisions():
        raise SchemaTooNewError(
            f"the database is at schema {found}, and this version knows schemas up to {head()} only: "
            "use the version of samesay that served it last, or a newer one"
        )


def head() -> str:
    """The newest revision this version knows."""
    newest = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert newest is not None
    return newest


def revisions() -> list[str]:
    """Every revision this version knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()]


def find_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None where it has no schema."""
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None) -> Config:
    config = Config()
    spec = find_spec("migrations")  # found, not imported: migrations stand above app
    assert spec is not None and spec.origin is not None
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
