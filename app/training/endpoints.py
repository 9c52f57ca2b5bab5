"""Routes of trainings, and of releases that were trained elsewhere."""

from fastapi import APIRouter, Request, Response

from app.access.caller import caller_of, collections_of
from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.http.body import read_body, read_optional_body
from app.http.openapi import json_body, optional_json_body, problems
from app.http.parameters import COLLECTION, CollectionName
from app.idempotency.attempts import IdempotencyKey, attempt_of
from app.job.endpoints import accepted
from app.job.schemas import JobAnswer
from app.services import services
from app.training.schemas import AdoptionRequest, TrainingRequest

router = APIRouter(prefix=COLLECTION, tags=["releases"])


@router.post(
    "/trainings",
    operation_id="start_training",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=optional_json_body(
        TrainingRequest,
        default={"recipe": "default", "promote": "auto"},
        by_hand={"settings": {"epochs": 20}, "promote": "manual", "why": "the new questions on returns"},
    ),
)
@requires(KeyScope.TRAIN)
async def start_training(
    request: Request, collection: CollectionName, idempotency_key: IdempotencyKey = None
) -> Response:
    """Retrain: the job that trains an encoder on the records, judges it, builds its index and lets it answer.

    A candidate that the gate refuses changes nothing: the job fails with the code gate_refused and says why.
    """
    wanted = await read_optional_body(request, TrainingRequest)
    attempt = attempt_of(request, idempotency_key, await request.body())
    started = await services(request).trainings.start_training(collection, wanted, caller_of(request.scope), attempt)
    return accepted(started)


@router.post(
    "/releases",
    operation_id="add_release",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(AdoptionRequest, encoder={"encoder": "faq-encoder-2", "promote": "manual"}),
)
@requires(KeyScope.RELEASE)
async def add_release(request: Request, collection: CollectionName, idempotency_key: IdempotencyKey = None) -> Response:
    """Make a release of an encoder that was trained elsewhere: the job that judges it as a training's."""
    wanted = await read_body(request, AdoptionRequest)
    attempt = attempt_of(request, idempotency_key, await request.body())
    started = await services(request).trainings.start_adoption(
        collection, wanted, caller_of(request.scope), attempt, lists=collections_of(request.scope) is None
    )
    return accepted(started)
