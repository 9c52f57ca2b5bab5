"""What a worker has to know to run imports and exports."""

from collections.abc import Mapping

from app.bulk import exporting, importing
from app.bulk.rows import Limits
from app.encoder.store import EncoderStore
from app.job.tables import JobType
from app.job.worker import Duty
from app.settings import Settings


def bulk_duties(settings: Settings) -> Mapping[JobType, Duty]:
    """The duties of a worker over these settings."""
    limits = Limits(most_unpacked_bytes=settings.max_unpacked_bytes)
    encoders = EncoderStore(settings.data / "encoders")
    return {
        JobType.IMPORT: Duty(lambda run: importing.run_import(run, limits), importing.clean_up, importing.so_far),
        JobType.EXPORT: Duty(lambda run: exporting.run_export(run, encoders), exporting.clean_up),
    }
