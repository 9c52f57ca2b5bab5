"""OpenAI's routes: embeddings and models."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import numpy as np
import orjson
from fastapi import APIRouter, Path, Request, Response
from numpy.typing import NDArray

from app.access.charging import charge
from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.compat.openai.errors import openai_errors
from app.compat.openai.schemas import (
    EmbeddingsAnswer,
    EmbeddingsRequest,
    EncodingFormat,
    ModelAnswer,
    ModelsAnswer,
)
from app.compat.writing import as_numbers, written
from app.encoder.schemas import EncoderAnswer
from app.errors import InvalidValueError
from app.http.body import answer, read_body
from app.http.openapi import json_body
from app.services import services

router = APIRouter(tags=["OpenAI"])

ModelName = Annotated[str, Path(max_length=256, description="name or sha256 of an encoder", examples=["faq-encoder"])]


@router.post(
    "/v1/embeddings",
    operation_id="openai_embeddings",
    response_model=EmbeddingsAnswer,
    responses=openai_errors(404, 413),
    openapi_extra=json_body(
        EmbeddingsRequest,
        one={"model": "faq-encoder", "input": "I want my money back"},
        several={
            "model": "faq-encoder",
            "input": ["I want my money back", "我要退款"],
            "encoding_format": "base64",
        },
    ),
)
@requires(KeyScope.ENCODE, is_audited=False)
async def openai_embeddings(request: Request) -> Response:
    """Encode texts, as OpenAI's API does."""
    wanted = await read_body(request, EmbeddingsRequest)
    compat = services(request).compat
    bundle = await compat.bundle(wanted.model)
    _check_dimensions(wanted, bundle.manifest.dim)
    charge(request.scope, len(wanted.input))
    found = await compat.embed(bundle, wanted.input, request.receive)
    write = _WRITERS[wanted.encoding_format or EncodingFormat.FLOAT]
    body = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(await written(found.vectors, write))
        ],
        "model": wanted.model,
        "usage": {"prompt_tokens": found.n_tokens, "total_tokens": found.n_tokens},
        **({"truncated": found.truncated} if found.truncated else {}),
    }
    return Response(orjson.dumps(body), media_type="application/json")


@router.get("/v1/models", operation_id="openai_list_models", response_model=ModelsAnswer, responses=openai_errors())
@requires(KeyScope.ENCODE)
async def openai_list_models(request: Request) -> Response:
    """List the registered encoders, as OpenAI's API lists models."""
    encoders = await services(request).compat.models()
    return answer(ModelsAnswer(data=[_model(encoder) for encoder in encoders]))


@router.get(
    "/v1/models/{model}",
    operation_id="openai_get_model",
    response_model=ModelAnswer,
    responses=openai_errors(404),
)
@requires(KeyScope.ENCODE)
async def openai_get_model(request: Request, model: ModelName) -> Response:
    """Get one encoder, as OpenAI's API shows a model."""
    return answer(_model(await services(request).compat.model(model)))


def _check_dimensions(wanted: EmbeddingsRequest, dim: int) -> None:
    if wanted.dimensions not in (None, dim):
        detail = f"is {wanted.dimensions}, and {wanted.model!r} has {dim}: leave it out, vectors are not shortened"
        raise InvalidValueError.at("/dimensions", detail)


def _as_base64(vector: NDArray[np.float32]) -> str:
    return b64encode(vector.astype("<f4", copy=False).tobytes()).decode()


_WRITERS: Final[Mapping[EncodingFormat, Callable[[NDArray[np.float32]], Any]]] = {
    EncodingFormat.FLOAT: as_numbers,
    EncodingFormat.BASE64: _as_base64,
}


def _model(encoder: EncoderAnswer) -> ModelAnswer:
    return ModelAnswer(id=encoder.name, created=int(encoder.created_at.timestamp()), dim=encoder.dim, sha=encoder.sha)
