"""Storing a release that was made: its encoder, its row and what happened, in the transaction that ends the step."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from app.encoder.repository import EncoderRepository
from app.encoder.tables import Encoder
from app.errors import NotFoundError
from app.job.run import JobRun
from app.release.repository import ReleaseRepository
from app.release.tables import Release
from app.release.transitions import Releases
from app.training.errors import collection_gone
from model.contract.bundle import Bundle

_LONGEST_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a job has made.

    Attributes:
        bundle: Its encoder.
        report: How it was made and judged.
        is_accepted: Whether the gate lets it answer.
        why: For the events.
    """

    bundle: Bundle
    report: dict[str, Any]
    is_accepted: bool
    why: str


def register(session: Session, run: JobRun, candidate: Candidate, *, keep: int) -> Release:
    """Store the release and its encoder.

    Raises:
        JobFailedError: The collection was deleted.
    """
    releases = _releases(session, run, keep=keep)
    number = ReleaseRepository(session).next_number(run.collection_id)
    return releases.add(
        _encoder(session, run, candidate.bundle, number),
        is_accepted=candidate.is_accepted,
        job=run.key,
        report=candidate.report,
        who=run.request["who"],
        why=candidate.why,
    )


def rewarm(session: Session, run: JobRun, *, keep: int) -> Release:
    """Have servers hold a release again whose index was built anew; raises as `register`, and where it was pruned."""
    releases = _releases(session, run, keep=keep)
    release = releases.get(run.request["release"])
    releases.warm(release)
    return release


def _releases(session: Session, run: JobRun, *, keep: int) -> Releases:
    try:
        releases = Releases(session, run.collection, keep=keep)
    except NotFoundError:
        raise collection_gone(run.collection) from None
    if releases.collection.id != run.collection_id:
        raise collection_gone(run.collection)
    return releases


def _encoder(session: Session, run: JobRun, bundle: Bundle, number: int) -> Encoder:
    repository = EncoderRepository(session)
    found = repository.find(bundle.sha)
    if found is not None:
        found.removed_at = None  # its bundle was just copied again
        return found
    suffix = f"-r{number}"
    name = f"{run.collection[: _LONGEST_NAME - len(suffix)]}{suffix}"
    if repository.find(name) is not None:  # a person took it, or the collection was there before
        suffix = f"-{bundle.sha[:12]}"
        name = f"{run.collection[: _LONGEST_NAME - len(suffix)]}{suffix}"
    manifest = bundle.manifest
    encoder = Encoder(
        sha=bundle.sha, name=name, dim=manifest.dim, manifest=manifest.model_dump(mode="json"), job=run.key
    )
    repository.add(encoder)
    return encoder
