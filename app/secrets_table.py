"""Keys that every server on one database shares; the first one to ask makes them."""

import secrets
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.database import Database
from app.errors import ConflictError
from app.tables import Secret

CURSOR_KEY: Final = "cursor_key"
DATABASE_ID: Final = "database_id"


def get_secret(database: Database, name: str) -> bytes:
    """The key of this name."""
    found = database.read(lambda session: _find(session, name))
    if found is not None:
        return found
    try:
        return database.write(lambda session: _make(session, name)).result()
    except ConflictError:  # another server was faster
        made = database.read(lambda session: _find(session, name))
        assert made is not None
        return made


def _find(session: Session, name: str) -> bytes | None:
    return session.scalars(select(Secret.value).where(Secret.name == name)).first()


def _make(session: Session, name: str) -> bytes:
    value = secrets.token_bytes(32)
    session.add(Secret(name=name, value=value))
    session.flush()
    return value
