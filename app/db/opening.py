"""Which database the settings name."""

from sqlalchemy.exc import OperationalError, ProgrammingError

from app.data_folder import make_folder
from app.db import migrating
from app.db.database import Database
from app.db.postgres import PostgresDatabase
from app.db.sqlite import SqliteDatabase
from app.errors import StartupError
from app.settings import Settings


def open_database(settings: Settings) -> Database:
    """The database that the settings name, at this version's schema.

    SQLite is migrated here; PostgreSQL only by `samesay db upgrade`, since several servers may share it.

    Raises:
        StartupError: It cannot be opened, or has another schema.
    """
    database = connect_database(settings)
    try:
        (migrating.upgrade if settings.database_url is None else migrating.check)(database.engine)
    except BaseException:
        database.close()
        raise
    return database


def has_database(settings: Settings) -> bool:
    """Whether there is a database already; opening makes a SQLite file that is missing."""
    return settings.database_url is not None or settings.sqlite_file.exists()


def require_database(settings: Settings) -> None:
    """Refuse a data folder without a SQLite file, which opening it would make.

    Raises:
        StartupError: There is none.
    """
    if not has_database(settings):
        raise StartupError(
            f"{settings.data} holds no samesay.db: give the --data folder of a server, or set SAMESAY_DATABASE_URL"
        )


def connect_database(settings: Settings) -> Database:
    """The database that the settings name, at whatever schema it is.

    Raises:
        StartupError: It cannot be reached, or lets nobody in by this URL; says what PostgreSQL said.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        return _reached(PostgresDatabase(url, max_queued=settings.max_queued_writes))
    make_folder(settings.data)
    return SqliteDatabase(settings.sqlite_file, max_queued=settings.max_queued_writes)


def _reached(database: PostgresDatabase) -> PostgresDatabase:
    try:
        database.engine.connect().close()
    except (OperationalError, ProgrammingError) as error:  # the latter of an option that libpq does not have
        database.close()
        raise StartupError(
            f"the database in SAMESAY_DATABASE_URL cannot be reached: {' '.join(str(error.orig).split())}; "
            "start it, or correct the URL"
        ) from None
    return database
