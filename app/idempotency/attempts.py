"""Doing what a request wants once, however often it comes: the answer is stored with the write, and given again."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

from fastapi import Header, Request
from sqlalchemy import delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import KeyReusedError, StillRunningError
from app.idempotency.tables import KeptAnswer
from app.schemas import Answer

KEPT_FOR: Final = timedelta(hours=24)
MOST_KEPT: Final = 10_000
"""Newest answers that are kept at most; that of a batch of 1,000 items takes about 100 kB."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="any text, such as a UUID: the same request with the same key is done once and answered alike",
    ),
]

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that may come again.

    Attributes:
        key: The client's name of it.
        fingerprint: What it wants, hashed.
        collection: The name of the one that it is about.
    """

    key: str
    fingerprint: str
    collection: str


def attempt_of(request: Request, key: str | None, body: bytes, *, collection: str | None = None) -> Attempt | None:
    """What of a request tells whether it was here before; None where the client gave no key.

    Args:
        collection: That it is about, where the path names none.
    """
    if key is None:
        return None
    fingerprint = hashlib.sha256(request.url.path.encode() + b"\n" + body).hexdigest()
    return Attempt(key, fingerprint, collection or request.path_params["collection"])


class Attempts:
    """The attempts that run in this process; for one thread."""

    def __init__(self) -> None:
        self._running: set[str] = set()

    @contextmanager
    def running(self, attempt: Attempt | None) -> Iterator[None]:
        """Keep the same key out meanwhile.

        Raises:
            StillRunningError: It runs already.
        """
        if attempt is None:
            yield
            return
        if attempt.key in self._running:
            raise _still_running()
        self._running.add(attempt.key)
        try:
            yield
        finally:
            self._running.discard(attempt.key)


def _still_running() -> StillRunningError:
    return StillRunningError("a request with this Idempotency-Key is running: repeat it in a second")


def once(session: Session, attempt: Attempt | None, schema: type[A], do: Callable[[], A]) -> A:
    """Do it and keep the answer in the same transaction, or give the answer that was kept.

    Raises:
        KeyReusedError: The key came with another request.
        StillRunningError: Another server has just done it.
    """
    if attempt is None:
        return do()
    kept = session.scalars(select(KeptAnswer).where(KeptAnswer.key == attempt.key)).first()
    if kept is not None:
        if kept.fingerprint != attempt.fingerprint:
            raise KeyReusedError("this Idempotency-Key came with another path or body: give each request its own key")
        return schema.model_validate_json(kept.answer)
    answer = do()
    _keep(session, attempt, answer)
    return answer


def forget_answers(session: Session, names: Sequence[str]) -> None:
    """Delete the kept answers that name one of these records; their requests would be done again."""
    found = [json.dumps(name, ensure_ascii=False).encode() for name in names]
    kept = session.execute(select(KeptAnswer.id, KeptAnswer.answer).execution_options(yield_per=100))
    naming = [kept_id for kept_id, answer in kept if any(name in answer for name in found)]
    session.execute(delete(KeptAnswer).where(KeptAnswer.id.in_(naming)))


def forget_answers_about(session: Session, collection: str) -> None:
    """Delete the kept answers about a collection that is deleted: of one made anew they would not be true."""
    session.execute(delete(KeptAnswer).where(KeptAnswer.collection == collection))


def _keep(session: Session, attempt: Attempt, answer: Answer) -> None:
    now = datetime.now(UTC)
    kept = KeptAnswer(
        key=attempt.key,
        fingerprint=attempt.fingerprint,
        answer=answer.model_dump_json().encode(),
        created_at=now,
        collection=attempt.collection,
    )
    session.add(kept)
    try:
        session.flush()
    except IntegrityError:  # another server was as fast
        raise _still_running() from None
    too_old = or_(KeptAnswer.created_at < now - KEPT_FOR, KeptAnswer.id <= kept.id - MOST_KEPT)
    session.execute(delete(KeptAnswer).where(too_old).execution_options(synchronize_session=False))
