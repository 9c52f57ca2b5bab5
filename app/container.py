"""All the wiring: from settings to services that are ready to run."""

from dataclasses import dataclass

from app import migrating
from app.collection.service import CollectionService
from app.cursors import Cursors
from app.data_folder import DataFolder, make_folder
from app.db import Database
from app.db_postgres import PostgresDatabase
from app.db_sqlite import SqliteDatabase
from app.encoder.service import EncoderService
from app.encoder.store import EncoderStore
from app.encoding.batcher import MicroBatcher
from app.errors import NoDeviceError
from app.group.service import GroupService
from app.health.service import HealthService
from app.idempotency.attempts import Attempts
from app.observability import Metrics
from app.record.erasing import RecordEraser
from app.record.service import RecordService
from app.release.service import ReleaseService
from app.search.lookup import Found, Lookup, LookupRunner
from app.search.service import SearchService
from app.secrets_table import CURSOR_KEY, DATABASE_ID, get_secret
from app.services import Services
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.serving import Serving
from app.settings import Settings
from index.backends.faiss_gpu import require_gpu
from index.errors import VectorIndexError
from model.contract.runtime import check_runtimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A whole service. `start` and `stop` it once each; `stop` also where `start` was never called."""

    settings: Settings
    folder: DataFolder
    database: Database
    serving: Serving
    batcher: MicroBatcher[Lookup, Found]
    metrics: Metrics
    services: Services

    def start(self) -> None:
        """Begin to load, to follow and to answer."""
        self.batcher.start()
        self.serving.start()

    def stop(self) -> None:
        """Finish what is running, save what is not saved, let go of the folder."""
        self.batcher.stop()
        self.serving.stop()
        self.database.close()
        self.folder.__exit__(None, None, None)


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


def connect_database(settings: Settings) -> Database:
    """The database that the settings name, at whatever schema it is."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        return PostgresDatabase(url, max_queued=settings.max_queued_writes)
    make_folder(settings.data)
    return SqliteDatabase(settings.data / "samesay.db", max_queued=settings.max_queued_writes)


def open_encoders(settings: Settings, database: Database) -> EncoderService:
    """The registry of encoders alone, as `samesay encoders` needs it."""
    return EncoderService(database, EncoderStore(settings.data / "encoders"))


def build(settings: Settings) -> Container:
    """Take the data folder and wire everything.

    Raises:
        RuntimeMissingError: ONNX Runtime or FAISS is missing, or there twice.
        StartupError: The folder is taken, the database cannot be used, or there is no such index device.
    """
    check_runtimes()
    _require_device(settings)
    folder = DataFolder(settings.data).__enter__()
    try:
        database = open_database(settings)
        try:
            return _wire(settings, folder, database)
        except BaseException:
            database.close()
            raise
    except BaseException:
        folder.__exit__(None, None, None)
        raise


def _require_device(settings: Settings) -> None:
    try:
        require_gpu(settings.index_device)
    except VectorIndexError as error:
        raise NoDeviceError(f"SAMESAY_INDEX_DEVICE is {settings.index_device}: {error}") from None


def _wire(settings: Settings, folder: DataFolder, database: Database) -> Container:
    folder.belong_to(get_secret(database, DATABASE_ID).hex())
    cursors = Cursors(get_secret(database, CURSOR_KEY))
    metrics = Metrics()
    store = EncoderStore(settings.data / "encoders")
    encoders = EncoderService(database, store)
    attempts = Attempts()
    serving = Serving(
        database,
        Loader(database, store, settings.data, device=settings.index_device),
        Housekeeper(settings.data, device=settings.index_device),
        poll_s=settings.poll_s,
        wait_visible_s=settings.wait_visible_s,
        observe_lag=metrics.followed,
    )
    metrics.watch(serving)
    batcher = MicroBatcher(
        LookupRunner(metrics.encoded, metrics.searched).run,
        batch_tokens=settings.batch_tokens,
        max_queued=settings.max_queued_sentences,
        observe=metrics.batched,
    )
    services = Services(
        encoders=encoders,
        collections=CollectionService(database, serving, cursors, attempts),
        groups=GroupService(database, serving, cursors),
        records=RecordService(database, serving, cursors, attempts),
        eraser=RecordEraser(database, serving),
        releases=ReleaseService(database),
        search=SearchService(serving, batcher, encoders, store, metrics),
        health=HealthService(
            database,
            serving,
            metrics,
            settings,
            {"database writer": database, "follower": serving, "micro-batcher": batcher},
        ),
    )
    return Container(
        settings=settings,
        folder=folder,
        database=database,
        serving=serving,
        batcher=batcher,
        metrics=metrics,
        services=services,
    )
