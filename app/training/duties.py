"""What a worker has to know to make releases."""

from collections.abc import Mapping
from typing import Any

from app.encoder.store import EncoderStore
from app.job.run import Handover, JobRun
from app.job.tables import JobType
from app.job.worker import Duty
from app.serving.index_server import open_index_server
from app.settings import Settings
from app.training.building import Builder
from app.training.running import ReleaseJob, clean_up, so_far


def training_duties(settings: Settings) -> Mapping[JobType, Duty]:
    """The duties of a worker over these settings."""
    store = EncoderStore(settings.encoders)

    def make(run: JobRun) -> dict[str, Any] | Handover:
        builder = Builder(run.database, settings.data, open_index_server(settings, run.database))
        return ReleaseJob(run, store, builder, keep=settings.keep_releases).run()

    duty = Duty(make, clean_up, so_far)
    return {JobType.TRAINING: duty, JobType.ADOPTION: duty, JobType.PROMOTION: duty}
