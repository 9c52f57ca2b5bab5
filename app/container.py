"""All the wiring: from settings to services that are ready to run."""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from typing import Final

from app.access.keyring import Keyring
from app.access.service import ApiKeyService
from app.audit.service import AuditService
from app.bulk.service import BulkService
from app.collection.service import CollectionService
from app.compat.service import CompatService
from app.data_folder import DataFolder
from app.db.database import MOST_READS, Database
from app.db.opening import open_database
from app.encoder.service import EncoderService
from app.encoder.store import EncoderStore
from app.encoding.batcher import MicroBatcher
from app.errors import NoDeviceError
from app.feedback.query_keeper import QueryKeeper
from app.feedback.service import FeedbackService
from app.group.service import GroupService
from app.health.service import HealthService
from app.http.cursors import Cursors
from app.idempotency.attempts import Attempts
from app.job.dispatcher import Dispatcher, Pool
from app.job.kinds import Kind
from app.job.processes import WorkerProcesses
from app.job.repository import JobRepository
from app.job.service import JobService
from app.job.tables import TYPES_OF, JobType
from app.observability.collectors import DiskCollector, IndexCollector, JobCollector, Queue, QueueCollector
from app.observability.metrics import Metrics
from app.record.erasing import RecordEraser
from app.record.service import RecordService
from app.release.activating import Activator
from app.release.service import ReleaseService
from app.search.lookup import Found, Lookup, LookupRunner
from app.search.named_encoders import NamedEncoders
from app.search.service import SearchService
from app.search.shadowing import Shadows
from app.secrets_table import CURSOR_KEY, DATABASE_ID, get_secret
from app.services import Services
from app.serving.housekeeper import Housekeeper
from app.serving.index_server import open_index_server, require_client
from app.serving.loading import Loader
from app.serving.orders import Orders
from app.serving.serving import Serving
from app.serving.trimming import LogTrimmer
from app.settings import Settings
from app.training.ordering import order_by_itself
from app.training.service import TrainingService
from app.worker_duties import duties_of
from index.backends.faiss_gpu import require_gpu
from index.errors import VectorIndexError
from model.contract.runtime import check_runtimes

_MOST_TRAINERS: Final = 1
"""Trainings of a server at the same time: each takes every core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A whole service. `start` and `stop` it once each; `stop` also where `start` was never called."""

    settings: Settings
    folder: DataFolder
    database: Database
    serving: Serving
    batcher: MicroBatcher[Lookup, Found]
    waiting_batcher: MicroBatcher[Lookup, Found]
    dispatcher: Dispatcher
    shadows: Shadows
    keeper: QueryKeeper
    keyring: Keyring
    metrics: Metrics
    services: Services

    def start(self) -> None:
        """Begin to load, to follow and to answer."""
        self.keyring.start()
        self.batcher.start()
        self.waiting_batcher.start()
        self.serving.start()
        self.dispatcher.start()
        self.shadows.start()
        self.keeper.start()

    def stop(self) -> None:
        """Finish what is running, save what is not saved, let go of the folder."""
        self.dispatcher.stop()
        self.shadows.stop()
        self.batcher.stop()
        self.waiting_batcher.stop()
        self.serving.stop()
        self.keeper.stop()
        self.keyring.stop()
        self.database.close()
        self.folder.__exit__(None, None, None)


def open_encoders(settings: Settings, database: Database) -> EncoderService:
    """The registry of encoders alone, as `samesay encoders` needs it."""
    return EncoderService(database, EncoderStore(settings.encoders))


def build(settings: Settings) -> Container:
    """Take the data folder and wire everything.

    Raises:
        RuntimeMissingError: ONNX Runtime or FAISS is missing, or there twice.
        StartupError: The folder is taken, the database cannot be used, or there is no such index device, or no client
            of the index server.
    """
    check_runtimes()
    _require_device(settings)
    require_client(settings)
    folder = DataFolder(settings.data, is_shared=settings.database_url is not None).__enter__()
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
    keyring = _open_keyring(settings, database)
    keyring.refuse_borrowed_key()
    settings.refuse_open_bind(has_admin_key=keyring.has_admin)
    folder.belong_to(get_secret(database, DATABASE_ID).hex())
    if settings.database_url is None:  # then no worker of before can be at work
        database.write(lambda session: JobRepository(session).release_all()).result()
    cursors, attempts = Cursors(get_secret(database, CURSOR_KEY)), Attempts()
    metrics, orders = Metrics(), Orders(database)
    store = EncoderStore(settings.encoders)
    encoders = EncoderService(database, store)
    serving = _serving(settings, database, store, orders, metrics)
    batcher, waiting_batcher = _batcher(settings, metrics), _batcher(settings, metrics)
    queues: dict[str, Queue] = {
        "encoder": (lambda: batcher.queued, settings.max_queued_sentences),
        "index_server": (lambda: waiting_batcher.queued, settings.max_queued_sentences),
        "reads": (lambda: database.queued_reads, MOST_READS),
        "writes": (lambda: database.queued_writes, settings.max_queued_writes),
    }
    metrics.watch(IndexCollector(serving), JobCollector(database), QueueCollector(queues), DiskCollector(settings.data))
    named_encoders = NamedEncoders(encoders, store, batcher)
    shadows = Shadows(serving, database)
    keeper = QueryKeeper(database, metrics.kept_queries)
    search = SearchService(serving, batcher, waiting_batcher, named_encoders, metrics, shadows, keeper)
    activator = Activator(database, serving, encoders.remove_unneeded, keep=settings.keep_releases)
    dispatcher = Dispatcher(
        database,
        settings.jobs,
        worker_pools(settings),
        serving.visible_seq,
        activator.advance,
        {kind: duty.clean_up for kind, duty in duties_of(settings).items()},
        encoders.remove_unneeded,
    )
    services = Services(
        encoders=encoders,
        collections=CollectionService(database, serving, cursors, attempts, settings.jobs),
        groups=GroupService(database, serving, cursors),
        records=RecordService(database, serving, cursors, attempts),
        eraser=RecordEraser(database, serving, settings.jobs, keeper.flush),
        releases=ReleaseService(database, serving, cursors, keep=settings.keep_releases),
        trainings=TrainingService(database, attempts, settings.max_unfinished_jobs, dispatcher.wake),
        search=search,
        feedback=FeedbackService(database, serving, search, keeper, cursors, attempts, metrics, order_by_itself),
        compat=CompatService(named_encoders, encoders, settings),
        health=HealthService(
            database,
            serving,
            metrics,
            settings,
            {
                "database writer": database,
                "follower": serving,
                "micro-batcher": batcher,
                "micro-batcher of the index server": waiting_batcher,
                "dispatcher": dispatcher,
                "query keeper": keeper,
                "keyring": keyring,
            },
        ),
        jobs=JobService(database, cursors, settings.jobs),
        orders=orders,
        bulk=BulkService(database, attempts, settings.jobs, settings.max_unfinished_jobs, dispatcher.wake),
        api_keys=ApiKeyService(database, cursors, keyring.refresh),
        audit=AuditService(database, cursors, timedelta(days=settings.audit_days)),
    )
    return Container(
        settings=settings,
        folder=folder,
        database=database,
        serving=serving,
        batcher=batcher,
        waiting_batcher=waiting_batcher,
        dispatcher=dispatcher,
        shadows=shadows,
        keeper=keeper,
        keyring=keyring,
        metrics=metrics,
        services=services,
    )


def _serving(settings: Settings, database: Database, store: EncoderStore, orders: Orders, metrics: Metrics) -> Serving:
    is_shared, device = settings.database_url is not None, settings.index_device
    server = open_index_server(settings, database)
    return Serving(
        database,
        Loader(database, store, settings.data, device=device, is_shared=is_shared, server=server),
        Housekeeper(
            settings.data,
            partial(orders.order, JobType.COMPACTION),
            is_shared=is_shared,
            device=device,
            server=server,
            trimmer=LogTrimmer(database, settings.data),
        ),
        orders=orders,
        poll_s=settings.poll_s,
        wait_visible_s=settings.wait_visible_s,
        observe_lag=metrics.followed,
    )


def _batcher(settings: Settings, metrics: Metrics) -> MicroBatcher[Lookup, Found]:
    return MicroBatcher(
        LookupRunner(metrics.encoded, metrics.searched).run,
        batch_tokens=settings.batch_tokens,
        max_queued=settings.max_queued_sentences,
        observe=metrics.batched,
    )


def _open_keyring(settings: Settings, database: Database) -> Keyring:
    return Keyring(
        database,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        rate_limit=settings.rate_limit,
        rate_burst=settings.rate_burst,
    )


def worker_pools(settings: Settings) -> list[Pool]:
    """What starts the workers of a server, for each kind of jobs; nothing where all of them are apart."""
    if settings.workers == 0:
        return []
    given = {"DATA": str(settings.data.absolute()), "LOG_LEVEL": settings.log_level}
    if settings.database_url is not None:
        given["DATABASE_URL"] = settings.database_url.get_secret_value()
    if settings.index_server is not None:
        given |= {"INDEX_SERVER": settings.index_server, "INDEX_SERVER_KIND": settings.index_server_kind}
    if settings.index_server_token is not None:
        given["INDEX_SERVER_TOKEN"] = settings.index_server_token.get_secret_value()
    limits = ("max_unpacked_bytes", "max_queued_writes", "keep_releases")
    given |= {name.upper(): str(getattr(settings, name)) for name in limits}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMESAY_")}
    environment |= {f"SAMESAY_{name}": value for name, value in given.items()}
    most = {Kind.FILES: settings.workers, Kind.RELEASES: _MOST_TRAINERS}
    command = [sys.executable, "-m", "app", "worker", "--embedded", "--only"]
    return [
        Pool(WorkerProcesses([*command, kind], environment, most[kind]), types)
        for kind, types in TYPES_OF.items()
        if kind is not Kind.RELEASES or _may_train(settings)
    ]


def _may_train(settings: Settings) -> bool:
    """Whether releases are made on this machine: without the trainer they are left to workers apart that have it."""
    return settings.database_url is None or find_spec("torch") is not None
