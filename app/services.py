"""What the endpoints call: every service of the running app, made by the container."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from app.access.service import ApiKeyService
from app.audit.service import AuditService
from app.bulk.service import BulkService
from app.collection.service import CollectionService
from app.compat.service import CompatService
from app.encoder.service import EncoderService
from app.feedback.service import FeedbackService
from app.group.service import GroupService
from app.health.service import HealthService
from app.job.service import JobService
from app.record.erasing import RecordEraser
from app.record.service import RecordService
from app.release.service import ReleaseService
from app.search.service import SearchService
from app.serving.orders import Orders
from app.training.service import TrainingService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One of each."""

    encoders: EncoderService
    collections: CollectionService
    groups: GroupService
    records: RecordService
    eraser: RecordEraser
    releases: ReleaseService
    trainings: TrainingService
    search: SearchService
    feedback: FeedbackService
    compat: CompatService
    health: HealthService
    jobs: JobService
    bulk: BulkService
    orders: Orders
    api_keys: ApiKeyService
    audit: AuditService


def services(request: Request) -> Services:
    """The services of the app that this request came to."""
    return cast(Services, request.app.state.services)
