"""The routes of text-embeddings-inference; none of them names a model."""

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from app.access.charging import charge
from app.access.declaring import open_to_all, requires
from app.access.scopes import KeyScope
from app.compat.errors import TooLongError
from app.compat.service import Embedded
from app.compat.tei.errors import tei_errors
from app.compat.tei.schemas import (
    Cutting,
    EmbedRequest,
    Ranks,
    RerankRequest,
    Scores,
    SimilarityParameters,
    TeiInfoAnswer,
    TeiSimilarityRequest,
    TruncationDirection,
    Vectors,
)
from app.compat.writing import as_numbers, written
from app.errors import InvalidValueError
from app.http.body import answer, read_body
from app.http.openapi import json_body
from app.services import services
from model.contract.bundle import Bundle

router = APIRouter(tags=["text-embeddings-inference"])

_EMBED = json_body(
    EmbedRequest,
    one={"inputs": "I want my money back"},
    several={"inputs": ["I want my money back", "我要退款"], "truncate": True},
)


@router.post(
    "/embed",
    operation_id="tei_embed",
    response_model=Vectors,
    responses=tei_errors(400, 413, 422),
    openapi_extra=_EMBED,
)
@requires(KeyScope.ENCODE, is_audited=False)
async def tei_embed(request: Request) -> Response:
    """Encode texts: a vector for each."""
    wanted = await read_body(request, EmbedRequest)
    bundle = await services(request).compat.only_bundle()
    _check_asked_for(wanted.prompt_name, wanted.dimensions, bundle)
    found = await _embed(request, bundle, wanted.inputs, wanted)
    return _json(await written(found.vectors, as_numbers))


@router.post(
    "/",
    operation_id="tei_embed_at_root",
    response_model=Vectors,
    responses=tei_errors(400, 413, 422),
    openapi_extra=_EMBED,
)
@requires(KeyScope.ENCODE, is_audited=False)
async def tei_embed_at_root(request: Request) -> Response:
    """The same as POST /embed."""
    return await tei_embed(request=request)


@router.post(
    "/similarity",
    operation_id="tei_similarity",
    response_model=Scores,
    responses=tei_errors(400, 413, 422),
    openapi_extra=json_body(
        TeiSimilarityRequest,
        pair={"inputs": {"source_sentence": "I want my money back", "sentences": ["How do I get a refund?"]}},
    ),
)
@requires(KeyScope.ENCODE, is_audited=False)
async def tei_similarity(request: Request) -> Response:
    """Compare one sentence with others: a cosine for each."""
    wanted = await read_body(request, TeiSimilarityRequest)
    parameters = wanted.parameters or SimilarityParameters()
    bundle = await services(request).compat.only_bundle()
    _check_asked_for(parameters.prompt_name, None, bundle)
    compared = wanted.inputs
    found = await _embed(
        request, bundle, [compared.source_sentence, *compared.sentences], parameters, first="source_sentence"
    )
    return _json(_cosines(found.vectors))


@router.post(
    "/rerank",
    operation_id="tei_rerank",
    response_model=Ranks,
    responses=tei_errors(400, 413, 422),
    openapi_extra=json_body(
        RerankRequest,
        texts={"query": "I want my money back", "texts": ["Where is my parcel?", "How do I get a refund?"]},
    ),
)
@requires(KeyScope.ENCODE, is_audited=False)
async def tei_rerank(request: Request) -> Response:
    """Put texts in the order of their cosine to a query, best first."""
    wanted = await read_body(request, RerankRequest)
    bundle = await services(request).compat.only_bundle()
    found = await _embed(request, bundle, [wanted.query, *wanted.texts], wanted, first="query")
    cosines = _cosines(found.vectors)
    scores = cosines if wanted.raw_scores else (cosines + 1) / 2
    return _json(
        [
            {"index": index, "score": scores[index], **({"text": wanted.texts[index]} if wanted.return_text else {})}
            for index in np.argsort(-cosines, kind="stable").tolist()
        ]
    )


@router.get("/info", operation_id="tei_info", response_model=TeiInfoAnswer, responses=tei_errors())
@requires(KeyScope.ENCODE)
async def tei_info(request: Request) -> Response:
    """Say which encoder answers at these routes, and what the limits are."""
    return answer(await services(request).compat.info())


@router.get(
    "/health",
    operation_id="tei_health",
    response_class=Response,
    responses={200: {"description": "Queries can be answered"}, **tei_errors()},
)
@open_to_all
async def tei_health(request: Request) -> Response:
    """Say whether queries can be answered; needs no key."""
    await services(request).health.ready()
    return Response()


async def _embed(
    request: Request, bundle: Bundle, texts: list[str], cutting: Cutting, *, first: str | None = None
) -> Embedded:
    """Encode, unless that would cut a text in a way the client does not want.

    Args:
        request: Whose it is.
        bundle: The encoder.
        texts: What to encode.
        cutting: What the client wants.
        first: The field that the first text is from, where the others are a list without it.
    """
    charge(request.scope, len(texts))
    found = await services(request).compat.embed(bundle, texts, request.receive)
    if found.truncated and cutting.truncate is False:
        position = found.truncated[0] - (first is not None)
        cut = first if position < 0 else f"text {position}"
        raise TooLongError(
            f"{cut} is longer than the {bundle.manifest.max_tokens} tokens or "
            f"{bundle.manifest.max_chars} characters that the encoder looks at: shorten it, or leave truncate out"
        )
    if found.truncated and cutting.truncation_direction is TruncationDirection.LEFT:
        raise InvalidValueError.at(
            "/truncation_direction", "is left, but it is the end of a text that is cut off: give right"
        )
    return found


def _check_asked_for(prompt_name: str | None, dimensions: int | None, bundle: Bundle) -> None:
    if prompt_name is not None:
        raise InvalidValueError.at(
            "/prompt_name", f"is {prompt_name[:64]!r}, but the encoder knows no prompts: leave it out"
        )
    if dimensions not in (None, bundle.manifest.dim):
        raise InvalidValueError.at(
            "/dimensions", f"is {dimensions}, but the encoder has {bundle.manifest.dim}: leave it out"
        )


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the first with each of the others, each summed in the same order: equal texts rank in the order given."""
    cosines: NDArray[np.float32] = np.clip(np.einsum("nd,d->n", vectors[1:], vectors[0]), -1, 1)
    return cosines


def _json(content: object) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
