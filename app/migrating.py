"""Brings a database to the schema of this version, by the history in `migrations`."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from app.db import translated
from app.errors import SchemaOutdatedError


def upgrade(engine: Engine) -> None:
    """Apply what is missing; nothing where nothing is. Safe while a server runs."""
    with translated(), engine.connect().execution_options(writes=True) as connection, connection.begin():
        if _revision(connection) != head():
            command.upgrade(_config(connection), "head")


def check(engine: Engine) -> None:
    """Refuse a database that is not at this version's schema.

    Raises:
        SchemaOutdatedError: Naming both revisions and the command that mends it.
    """
    with translated(), engine.connect() as connection:
        found = _revision(connection)
    if found != head():
        raise SchemaOutdatedError(
            f"the database is at schema {found or 'none'}, this version needs {head()}: run `samesay db upgrade`"
        )


def head() -> str:
    """The newest revision this version knows."""
    newest = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert newest is not None
    return newest


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None) -> Config:
    config = Config()
    spec = find_spec("migrations")  # found, not imported: migrations stand above app
    assert spec is not None and spec.origin is not None
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
