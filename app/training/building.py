"""The index of a release that does not answer yet: built by the worker, in the job's own folder, then moved."""

import shutil
from pathlib import Path

from app.data_layout import SNAPSHOTS, snapshots_folder
from app.db.database import Database
from app.job.errors import JobFailedError
from app.job.repository import Progress
from app.job.run import JobRun
from app.release.tables import Release
from app.serving.index_server import IndexServer
from app.serving.loading import encode_all
from app.serving.repository import WantedRelease, find_active
from app.serving.snapshots.base import Base, BuildError
from app.training.errors import collection_gone
from index.errors import VectorIndexError
from model.contract.bundle import Bundle
from model.contract.files import sync_path


class Builder:
    """Builds indexes for releases.

    Args:
        database: The truth.
        data: The data folder.
        server: Where large indexes go; None keeps all here.
    """

    def __init__(self, database: Database, data: Path, server: IndexServer | None) -> None:
        self._database, self._data, self._server = database, data, server

    def active(self, run: JobRun) -> WantedRelease:
        """The release of a job's collection that answers, or JobFailedError."""
        active = self._database.read(lambda session: find_active(session, run.collection_id))
        if active is None:
            raise collection_gone(run.collection)
        return active

    def build(self, run: JobRun, bundle: Bundle, folder: Path) -> Base:
        """Encode every record of the job's collection and write a snapshot of that.

        Raises:
            JobFailedError: It could not be built.
            JobCancelledError, JobLostError: The job is to stop.
        """
        snapshots = folder / SNAPSHOTS
        shutil.rmtree(snapshots, ignore_errors=True)
        snapshots.mkdir()

        def tell(done: int, total: int) -> None:
            run.report(Progress("encoding", done, total))

        try:
            active = self.active(run)
            return encode_all(self._database, active, bundle, snapshots, tell, run.is_cancelled, self._server)
        except (BuildError, VectorIndexError) as error:
            run.check()
            raise JobFailedError("not_built", f"{error}; nothing was changed") from None

    def is_built(self, folder: Path) -> bool:
        """Whether `build` has left something that was not moved."""
        return any((folder / SNAPSHOTS).glob("*"))

    def move(self, folder: Path, release: Release) -> None:
        """Put what was built where servers look for the release's index; without records there is none."""
        target = snapshots_folder(self._data, release.collection_id, release.id)
        if self.is_built(folder):
            shutil.rmtree(target, ignore_errors=True)  # of one that was pruned, or never came to be
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / SNAPSHOTS).rename(target)
            sync_path(target.parent)
