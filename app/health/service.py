"""Whether the service lives, is ready, and what it is."""

import platform
import unicodedata
from collections.abc import Mapping
from importlib import metadata
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.db.database import Database
from app.encoder.tables import Encoder
from app.errors import NotReadyError, WorkerDeadError
from app.health.schemas import Health, HealthAnswer, InfoAnswer, Limits
from app.observability.metrics import Metrics
from app.schemas import MOST_ITEMS, MOST_TEXT_BYTES
from app.search.filters import MOST_FIELDS, MOST_VALUES
from app.search.schemas import MOST_NEIGHBOURS, MOST_QUERIES
from app.serving.serving import Serving
from app.settings import Settings


class Worker(Protocol):
    """A part of the server with a thread of its own."""

    @property
    def is_alive(self) -> bool: ...


class HealthService:
    """Describes the running server.

    Args:
        database: Must answer for the server to be ready.
        serving: Must have loaded.
        metrics: Read by /metrics.
        settings: The limits.
        workers: What the server cannot do without, by name.
    """

    def __init__(
        self,
        database: Database,
        serving: Serving,
        metrics: Metrics,
        settings: Settings,
        workers: Mapping[str, Worker],
    ) -> None:
        self._database = database
        self._serving = serving
        self._metrics = metrics
        self._settings = settings
        self._workers = workers

    def alive(self) -> HealthAnswer:
        """Alive as long as every worker is, or WorkerDeadError: then whoever watches us should restart us."""
        for name, worker in self._workers.items():
            if not worker.is_alive:
                raise WorkerDeadError(f"the {name} has died: restart the server, and look at its log for the reason")
        return HealthAnswer(status=Health.ALIVE)

    async def ready(self) -> HealthAnswer:
        """Ready once every collection was loaded and while the database answers, or NotReadyError."""
        self.alive()
        if not self._serving.is_ready:
            raise NotReadyError("collections are being loaded: try again in a second")
        await self._database.read_async(lambda session: session.execute(select(1)).all())
        return HealthAnswer(status=Health.READY, failing=len(self._serving.failing))

    async def info(self) -> InfoAnswer:
        """What this server is."""
        encoders, collections = await self._database.read_async(_counts)
        return InfoAnswer(
            version=metadata.version("samesay"),
            database=self._database.engine.dialect.name,
            python=platform.python_version(),
            unicode_data=unicodedata.unidata_version,
            onnxruntime=_runtime_version(),
            providers=self.providers,
            index_device=self._settings.index_device,
            index_server=self._settings.index_server,
            index_server_kind=None if self._settings.index_server is None else self._settings.index_server_kind,
            encoders=encoders,
            collections=collections,
            limits=Limits(
                body_bytes=self._settings.max_body_bytes,
                text_bytes=MOST_TEXT_BYTES,
                batch_items=MOST_ITEMS,
                page_items=MOST_ITEMS,
                queries=MOST_QUERIES,
                neighbours=MOST_NEIGHBOURS,
                filter_fields=MOST_FIELDS,
                filter_values=MOST_VALUES,
                queued_sentences=self._settings.max_queued_sentences,
                upload_bytes=self._settings.max_upload_bytes,
                unpacked_bytes=self._settings.max_unpacked_bytes,
                unfinished_jobs=self._settings.max_unfinished_jobs,
            ),
        )

    @property
    def providers(self) -> list[str]:
        """Execution providers that ONNX Runtime really uses, of the encoders in memory."""
        return sorted({name for release in self._serving.releases for name in release.bundle.encoder.providers})

    def metrics(self) -> bytes:
        """Everything measured, in Prometheus' text format."""
        return self._metrics.exposition()


def _counts(session: Session) -> tuple[int, int]:
    encoders = session.scalars(select(func.count()).where(Encoder.removed_at.is_(None))).one()
    return encoders, session.scalars(select(func.count()).select_from(Collection)).one()


def _runtime_version() -> str:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return "none"
