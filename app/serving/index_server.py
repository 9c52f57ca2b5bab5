"""The Milvus server that large indexes are put on: names on it, the alias of what answers, and what nobody needs."""

import json
import math
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import structlog

from app.data_layout import folders_of_snapshots, owner_note
from app.db.database import Database
from app.errors import NoIndexServerError
from app.secrets_table import DATABASE_ID, get_secret
from app.serving.release import ServingRelease
from app.serving.snapshots.spool import ORDER, ServerOrder
from app.settings import Settings
from index.backends.milvus.base import MilvusBase
from index.backends.milvus.connection import load_pymilvus
from index.backends.milvus.releases import collection_name
from index.backends.milvus.server import Milvus
from index.errors import BackendMissingError, IndexServerError
from index.manifest import MANIFEST
from index.milvus_kinds import MilvusKind

SWEEP_S: Final = 60.0
"""So often collections are looked for that nobody needs."""

AGAIN_S: Final = 2.0
"""The same where there were some that could not be dropped yet."""

REST_S: Final = 10.0
"""After a failure nothing is tried for so long."""

GRACE_S: Final = 60.0
"""Where others share the folder, nobody must have needed it for so long: their searches may go on in what has just been
replaced."""

_ID_LENGTH: Final = 16

_log = structlog.get_logger(__name__)


class IndexServer:
    """The index server, as one database's servers and workers use it.

    Args:
        milvus: The connection.
        kind: What to build there.
        database_id: Of the database, in hex: others may use the same server.
        data: The data folder, whose snapshots say what is needed.
        is_shared: Whether other servers use the folder too.
    """

    def __init__(self, milvus: Milvus, kind: MilvusKind, database_id: str, data: Path, *, is_shared: bool) -> None:
        self.milvus, self.kind = milvus, kind
        self._database_id, self._data, self._is_shared = database_id, data, is_shared
        self._prefix = collection_name(database_id[:_ID_LENGTH], "")
        self._sweeping = threading.Lock()  # one sweep at a time; guards the next two
        self._sweep_at = self._rests_until = -math.inf
        self._unneeded: dict[str, float] = {}  # since when, as far as sweeps have seen
        self._pointed: dict[int, str] = {}  # by collection_id: where its alias points

    def order(self, collection_id: int) -> ServerOrder:
        """What to build for a collection, under a name of its own."""
        name = f"{self._prefix}{collection_id}_{token_hex(4)}"
        return ServerOrder(address=self.milvus.address, kind=self.kind, collection=name)

    def require(self) -> None:
        """See that it answers, or IndexServerError."""
        self.milvus.list_names(self._prefix)

    def is_due(self, answering: Iterable[ServingRelease]) -> bool:
        """Whether `tidy` has something to do; takes no time."""
        now = time.monotonic()
        if now < self._rests_until:
            return False
        return now >= self._sweep_at or any(self._pointed.get(number) != name for number, name in _places(answering))

    def look_soon(self) -> None:
        """Hear that snapshots were removed: what they named may not be needed any more."""
        self._sweep_at = -math.inf

    def tidy(self, answering: Iterable[ServingRelease]) -> None:
        """Point the aliases at what answers, and drop what nobody needs; what fails is logged, and tried again."""
        try:
            for collection_id, name in _places(answering):
                if self._pointed.get(collection_id) != name:
                    self._pointed[collection_id] = name
                    self.milvus.point(f"{self._prefix}{collection_id}", name)
            self.sweep(at_once=not self._is_shared)
        except (IndexServerError, OSError) as error:
            _log.warning("index_server_not_tidied", reason=str(error))
            self._pointed.clear()
            self._rests_until = time.monotonic() + REST_S

    def sweep(self, *, at_once: bool) -> None:
        """Drop this database's collections that no snapshot and no build names, and no search here looks through.

        Args:
            at_once: Also those that were needed a moment ago.

        Raises:
            IndexServerError: The server is away, or refuses.
            OSError: The folder cannot be read.
        """
        with self._sweeping:
            now = time.monotonic()
            self._sweep_at = now + SWEEP_S
            if not self._is_our_folder():
                return
            # listed first: what is made after that is not in danger
            unneeded = set(self.milvus.list_names(self._prefix))
            unneeded -= {name for _ in range(2) for name in _named(self._data)}  # twice: folders may be moved meanwhile
            self._unneeded = {name: self._unneeded.get(name, now) for name in unneeded}
            for name in sorted(unneeded - self.milvus.held):
                if at_once or now - self._unneeded[name] >= GRACE_S:
                    self.milvus.drop(name)
                    del self._unneeded[name]
                    _log.info("index_server_collection_dropped", name=name)
            if self._unneeded:
                self._sweep_at = now + AGAIN_S

    def purge(self, releases: Iterable[ServingRelease]) -> bool:
        """Leave nothing of what was deleted: neither collections that nobody needs, nor, soon, in Milvus's files.

        Returns:
            Whether it is done; false where a search goes on in a collection that is not needed otherwise.

        Raises:
            IndexServerError, OSError: See `sweep`.
        """
        self.sweep(at_once=True)
        for _, name in _places(releases):
            self.milvus.compact(name)
        return not self._unneeded

    def _is_our_folder(self) -> bool:
        """Whether the folder is there: an empty place where a volume is not mounted needs nothing at all."""
        note = owner_note(self._data)
        return note.exists() and note.read_text().strip() == self._database_id


def require_client(settings: Settings) -> None:
    """See that an index server could be asked, if there is one to ask; it need not answer yet.

    Raises:
        NoIndexServerError: Its client is not installed.
    """
    if settings.index_server is None:
        return
    try:
        load_pymilvus()
    except BackendMissingError as error:
        raise NoIndexServerError(f"SAMESAY_INDEX_SERVER is {settings.index_server}: {error}") from None


def open_index_server(settings: Settings, database: Database) -> IndexServer | None:
    """The index server as this database uses it, connected to when first needed; None where there is none."""
    require_client(settings)
    if settings.index_server is None:
        return None
    token = settings.index_server_token
    return IndexServer(
        Milvus(settings.index_server, token="" if token is None else token.get_secret_value()),
        settings.index_server_kind,
        get_secret(database, DATABASE_ID).hex(),
        settings.data,
        is_shared=settings.database_url is not None,
    )


def _places(releases: Iterable[ServingRelease]) -> Iterator[tuple[int, str]]:
    """Which collections are on the server, by collection_id."""
    for release in releases:
        base = release.view.index.base
        if isinstance(base, MilvusBase):
            yield release.key.collection_id, base.name


def _named(data: Path) -> Iterator[str]:
    """Every collection on a server that something in the folder names; builds before what they become."""
    folders = list(folders_of_snapshots(data))
    for name, read in ((ORDER, _of_order), (MANIFEST, _of_manifest)):
        for folder in folders:
            for path in folder.rglob(name):
                try:
                    found = read(json.loads(path.read_bytes()))
                except (FileNotFoundError, ValueError, KeyError):
                    continue  # gone meanwhile, or damaged
                if found is not None:
                    yield found


def _of_order(order: dict[str, Any]) -> str | None:
    return None if order["server"] is None else str(order["server"]["collection"])


def _of_manifest(manifest: dict[str, Any]) -> str | None:
    return manifest.get("collection")
