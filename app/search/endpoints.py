"""Routes that search, classify and compare. Hot: one parse of the body, bytes out."""

from fastapi import APIRouter, Request, Response

from app.access.charging import charge
from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.http.body import read_body
from app.http.openapi import json_body, problems
from app.http.parameters import COLLECTION, CollectionName
from app.search.schemas import (
    ClassifyAnswer,
    ClassifyRequest,
    SearchAnswer,
    SearchRequest,
    SimilarityAnswer,
    SimilarityRequest,
)
from app.services import services

router = APIRouter(tags=["search"])


@router.post(
    COLLECTION + ":search",
    operation_id="search",
    response_model=SearchAnswer,
    responses=problems(400, 404, 413),
    openapi_extra=json_body(
        SearchRequest,
        one={"query": "I want my money back", "k": 10},
        several={"queries": ["I want my money back", "我要退款"], "k": 5, "group_by": "group", "min_score": 0.5},
        filtered={
            "query": "I want my money back",
            "filter": {
                "group": {"in": ["refund", "cancel"]},
                "metadata": {"lang": "en", "year": {"gte": 2020, "lt": 2024}, "tags": {"in": ["shop", "app"]}},
            },
        },
    ),
)
@requires(KeyScope.SEARCH, is_audited=False)
async def search(request: Request, collection: CollectionName) -> Response:
    """Find the nearest records of one or several sentences."""
    wanted = await read_body(request, SearchRequest)
    charge(request.scope, len(wanted.sentences))
    body = await services(request).search.search(collection, wanted, request.receive)
    return Response(body, media_type="application/json")


@router.post(
    COLLECTION + ":classify",
    operation_id="classify",
    response_model=ClassifyAnswer,
    responses=problems(400, 404, 413),
    openapi_extra=json_body(
        ClassifyRequest,
        one={"text": "I want my money back", "top_n": 3},
        several={"texts": ["I want my money back", "我要退款"], "prior": {"refund": 120, "cancel": 40, "invoice": 3}},
    ),
)
@requires(KeyScope.CLASSIFY, is_audited=False)
async def classify(request: Request, collection: CollectionName) -> Response:
    """Decide which group a sentence belongs to, or which labels apply to it, if any."""
    wanted = await read_body(request, ClassifyRequest)
    charge(request.scope, len(wanted.sentences))
    body = await services(request).search.classify(collection, wanted, request.receive)
    return Response(body, media_type="application/json")


@router.post(
    "/v1/similarity",
    operation_id="similarity",
    response_model=SimilarityAnswer,
    responses=problems(400, 413),
    openapi_extra=json_body(
        SimilarityRequest,
        pair={"encoder": "faq-encoder", "source": "I want my money back", "targets": ["How do I get a refund?"]},
    ),
)
@requires(KeyScope.ENCODE, is_audited=False)
async def similarity(request: Request) -> Response:
    """Compare one sentence with one or many."""
    wanted = await read_body(request, SimilarityRequest)
    charge(request.scope, 1 + len(wanted.targets))
    body = await services(request).search.similarity(wanted, request.receive)
    return Response(body, media_type="application/json")
