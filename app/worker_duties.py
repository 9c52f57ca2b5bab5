"""What a worker has to know to run its jobs."""

from collections.abc import Mapping

from app.bulk.duties import bulk_duties
from app.job.kinds import Kind
from app.job.tables import TYPES_OF, JobType
from app.job.worker import Duty
from app.settings import Settings
from app.training.duties import training_duties


def duties_of(settings: Settings, only: Kind | None = None) -> Mapping[JobType, Duty]:
    """The duties of a worker over these settings: all, or those of one kind."""
    duties = {**bulk_duties(settings), **training_duties(settings)}
    return duties if only is None else {kind: duties[kind] for kind in TYPES_OF[only]}
