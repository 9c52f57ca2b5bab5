"""Encoding for clients that were written for other servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import numpy as np
from numpy.typing import NDArray
from starlette.types import Receive

from app.compat.errors import ModelNotFoundError, NoModelError
from app.compat.tei.schemas import TeiInfoAnswer
from app.encoder.schemas import EncoderAnswer
from app.encoder.service import HOW_TO_ADD, EncoderService
from app.errors import InvalidValueError, NotFoundError
from app.search.named_encoders import NamedEncoders
from app.settings import Settings
from model.contract.bundle import Bundle

_PIECE: Final = 256
"""Sentences handed in at once: between the pieces of a large request the questions of others have their turn."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Sentences as a request wanted them encoded.

    Attributes:
        vectors: (n, dim) float32, unit length, in the order given.
        n_tokens: What the encoder was given of all of them together.
        truncated: Positions of those of which it was given the start only.
    """

    vectors: NDArray[np.float32]
    n_tokens: int
    truncated: list[int]


class CompatService:
    """What the routes of other servers are made of.

    Args:
        named_encoders: Encodes.
        encoders: Knows which there are.
        settings: The limits, and the encoder behind routes that name none.
    """

    def __init__(self, named_encoders: NamedEncoders, encoders: EncoderService, settings: Settings) -> None:
        self._named_encoders = named_encoders
        self._encoders = encoders
        self._settings = settings
        self._only: EncoderAnswer | None = None

    async def models(self) -> list[EncoderAnswer]:
        """Every registered encoder."""
        return await self._encoders.list_all()

    async def model(self, name: str) -> EncoderAnswer:
        """One encoder by name or sha256, or ModelNotFoundError."""
        try:
            return await self._encoders.get(name)
        except NotFoundError as error:
            raise ModelNotFoundError(error.detail) from None

    async def bundle(self, name: str) -> Bundle:
        """The encoder that a request calls a model, or ModelNotFoundError."""
        try:
            return await self._named_encoders.bundle(name)
        except InvalidValueError as error:
            raise ModelNotFoundError(error.detail) from None

    async def info(self) -> TeiInfoAnswer:
        """What answers where no model is named, or NoModelError."""
        encoder = (await self._only_model())[0]
        return TeiInfoAnswer(
            model_id=encoder.name,
            model_sha=encoder.sha,
            model_type={"embedding": {"pooling": "custom"}},
            max_concurrent_requests=self._settings.max_queued_sentences,
            max_input_length=encoder.max_tokens,
            max_batch_tokens=self._settings.batch_tokens,
            version=metadata.version("samesay"),
        )

    async def only_bundle(self) -> Bundle:
        """The encoder behind routes that name none, loaded, or NoModelError."""
        return (await self._only_model())[1]

    async def embed(self, bundle: Bundle, sentences: Sequence[str], receive: Receive) -> Embedded:
        """Encode the sentences of one request.

        Raises:
            OverloadedError: Too many sentences wait already.
            ClientDisconnect: The caller has gone.
        """
        starts = range(0, len(sentences), _PIECE)
        encode = self._named_encoders.encode
        pieces = [await encode(bundle, sentences[start : start + _PIECE], receive) for start in starts]
        truncated = [cut for piece in pieces for cut in piece.truncated]
        return Embedded(
            np.concatenate([piece.embeddings for piece in pieces]),
            sum(sum(piece.n_tokens) for piece in pieces),
            [position for position, cut in enumerate(truncated) if cut],
        )

    async def _only_model(self) -> tuple[EncoderAnswer, Bundle]:
        """The encoder behind routes that name none.

        It is the same as long as it is registered: one that is added later, such as a training's, does not replace it.
        """
        if self._only is not None:
            try:
                return self._only, await self.bundle(self._only.sha)
            except ModelNotFoundError:
                self._only = None  # it was removed
        chosen = await self._choose()
        bundle = await self.bundle(chosen.sha)
        self._only = chosen
        return chosen, bundle

    async def _choose(self) -> EncoderAnswer:
        named = self._settings.compat_encoder
        if named is None:
            return await self._first()
        try:
            return await self._encoders.get(named)
        except NotFoundError as error:
            raise NoModelError(f"SAMESAY_COMPAT_ENCODER is {named!r}: {error.detail}") from None

    async def _first(self) -> EncoderAnswer:
        registered = await self._encoders.list_all()
        if not registered:
            raise NoModelError(f"no encoder is registered: {HOW_TO_ADD}")
        return min(registered, key=lambda encoder: (encoder.created_at, encoder.sha))
