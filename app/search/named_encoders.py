"""Sentences to embeddings by a registered encoder, where no collection is concerned."""

import asyncio
from collections.abc import Sequence

from starlette.types import Receive

from app.encoder.service import EncoderService
from app.encoder.store import EncoderStore
from app.encoding.batcher import MicroBatcher
from app.encoding.patience import while_wanted
from app.search.lookup import Found, Lookup
from model.contract.bundle import Bundle


class NamedEncoders:
    """Finds encoders by name, and encodes with them through the micro-batcher.

    Args:
        encoders: Knows encoders by name.
        store: Loads encoders.
        batcher: Runs the lookups.
    """

    def __init__(self, encoders: EncoderService, store: EncoderStore, batcher: MicroBatcher[Lookup, Found]) -> None:
        self._encoders = encoders
        self._store = store
        self._batcher = batcher
        self._shas: dict[str, str] = {}  # a registered name never changes its encoder

    async def bundle(self, name_or_sha: str) -> Bundle:
        """The encoder of this name or sha256, loaded.

        Raises:
            InvalidValueError: There is none.
            BundleError: It cannot be loaded.
        """
        loaded = self._store.find_loaded(self._shas.get(name_or_sha, ""))
        if loaded is not None:
            return loaded
        sha = await self._encoders.resolve(name_or_sha)
        bundle = await asyncio.to_thread(self._store.get, sha)
        self._shas[name_or_sha] = sha
        return bundle

    async def encode(self, bundle: Bundle, sentences: Sequence[str], receive: Receive) -> Found:
        """Encode sentences of one request.

        Raises:
            OverloadedError: Too many sentences wait already.
            ClientDisconnect: The caller has gone.
        """
        return await while_wanted(self._batcher.submit(Lookup(bundle, sentences)), receive)
