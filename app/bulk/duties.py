"""What a worker has to know to run imports and exports."""

from collections.abc import Mapping
from typing import Any, Final

from app.bulk import exporting, importing
from app.bulk.reading.rows import Limits
from app.encoder.store import EncoderStore
from app.job.run import Handover, JobRun
from app.job.tables import JobType
from app.job.worker import Duty
from app.memory import bounded_memory
from app.settings import Settings

_MOST_BYTES: Final = 8 * 2**30
"""Of memory for a worker that imports: some hundred bytes of Parquet can stand for more than any machine has."""


def bulk_duties(settings: Settings) -> Mapping[JobType, Duty]:
    """The duties of a worker over these settings."""
    limits = Limits(most_unpacked_bytes=settings.max_unpacked_bytes)
    encoders = EncoderStore(settings.encoders)
    return {
        JobType.IMPORT: Duty(lambda run: _import(run, limits), importing.clean_up, importing.so_far),
        JobType.EXPORT: Duty(lambda run: exporting.run_export(run, encoders), exporting.clean_up),
    }


def _import(run: JobRun, limits: Limits) -> Handover | dict[str, Any]:
    with bounded_memory(_MOST_BYTES):
        return importing.run_import(run, limits)
