"""Registering encoders and finding them."""

from pathlib import Path

from sqlalchemy.orm import Session

from app.db.database import Database
from app.encoder.repository import EncoderRepository
from app.encoder.schemas import EncoderAnswer
from app.encoder.store import EncoderStore
from app.encoder.tables import Encoder
from app.errors import FieldProblem, InvalidValueError, NameTakenError
from app.job.repository import JobRepository
from app.release.repository import ReleaseRepository
from model.contract.bundle import Bundle, load_bundle

HOW_TO_ADD = "train one with `samesay train DATA --out RUN`, then `samesay encoders add RUN/bundle --name NAME`"


class EncoderService:
    """The registry of encoders.

    Args:
        database: Where their names are.
        store: Where their bundles are.
    """

    def __init__(self, database: Database, store: EncoderStore) -> None:
        self._database = database
        self._store = store

    def add(self, path: Path, name: str) -> EncoderAnswer:
        """Verify a bundle, copy it and register it; adding it again under the same name changes nothing.

        Raises:
            BundleError: The bundle cannot be used.
            NameTakenError: Another bundle has the name, or the bundle has another name.
        """
        bundle = load_bundle(path)
        self._database.read(lambda session: _find_same(session, bundle, name))
        self._store.copy(bundle)
        added = self._database.write(lambda session: _register(session, bundle, name)).result()
        self._store.copy(bundle)  # it may have been removed just before it was wanted again
        return added

    def remove_unneeded(self) -> None:
        """Remove the bundles of encoders that went with the last release that used them, and those of no encoder.

        That of one that a job is to make a release of stays until the job is over.
        """

        def unit(session: Session) -> None:
            releases, removed = ReleaseRepository(session), EncoderRepository(session).lock_removed()
            ordered = JobRepository(session).encoders_ordered()
            for encoder in removed:
                if releases.is_encoder_used(encoder.sha):
                    encoder.removed_at = None  # another collection took it just when this one parted from it
                elif encoder.sha not in ordered:
                    self._store.remove(encoder.sha)

        if self._database.read(lambda session: self._is_any_left(session)):
            self._database.write(unit).result()
        self._store.sweep(self._database.read(lambda session: EncoderRepository(session).list_known()))

    def _is_any_left(self, session: Session) -> bool:
        return any(self._store.path(sha).exists() for sha in EncoderRepository(session).list_removed())

    def list_now(self) -> list[EncoderAnswer]:
        """Every encoder, by name."""
        return self._database.read(_list_all)

    async def list_all(self) -> list[EncoderAnswer]:
        """`list_now`, off the event loop."""
        return await self._database.read_async(_list_all)

    async def get(self, name_or_sha: str) -> EncoderAnswer:
        """One encoder, or NotFoundError."""
        return await self._database.read_async(lambda session: to_answer(EncoderRepository(session).get(name_or_sha)))

    async def resolve(self, name_or_sha: str) -> str:
        """The sha256 of the encoder that a body names."""
        return await self._database.read_async(lambda session: named_encoder(session, name_or_sha).sha)


def named_encoder(session: Session, name_or_sha: str, *, lists: bool = True) -> Encoder:
    """The encoder that a body names.

    Args:
        session: Of the unit of work.
        name_or_sha: What the body says.
        lists: Whether who asks may hear which there are: their names tell of other collections.

    Raises:
        InvalidValueError: There is none; says which there are, or how to get one.
    """
    repository = EncoderRepository(session)
    found = repository.find(name_or_sha)
    if found is not None and found.removed_at is None:
        return found
    known = _which(repository) if lists else "whoever runs the server knows which there are"
    detail = f"there is no encoder {name_or_sha[:64]!r}; {known}"
    raise InvalidValueError(detail, errors=[FieldProblem("/encoder", detail)])


def _which(repository: EncoderRepository) -> str:
    names = [encoder.name for encoder in repository.list_all()]
    return f"registered are {', '.join(names[:20])}" if names else f"none is registered: {HOW_TO_ADD}"


def _list_all(session: Session) -> list[EncoderAnswer]:
    return [to_answer(encoder) for encoder in EncoderRepository(session).list_all()]


def to_answer(encoder: Encoder) -> EncoderAnswer:
    """The row as the API shows it."""
    manifest = encoder.manifest
    return EncoderAnswer(
        sha=encoder.sha,
        name=encoder.name,
        dim=encoder.dim,
        max_tokens=manifest["max_tokens"],
        max_chars=manifest["max_chars"],
        languages=list(manifest["languages"]),
        n_labels=manifest["n_labels"],
        metrics=manifest["metrics"],
        created_at=encoder.created_at,
    )


def _find_same(session: Session, bundle: Bundle, name: str) -> Encoder | None:
    repository = EncoderRepository(session)
    by_sha, by_name = repository.find(bundle.sha), repository.find(name)
    if by_name is not None and by_name.sha != bundle.sha:
        raise NameTakenError(f"the name {name!r} belongs to encoder {by_name.sha[:12]}...: choose another name")
    if by_sha is not None and by_sha.name != name:
        raise NameTakenError(f"this bundle is registered already, as {by_sha.name!r}: use that name")
    return by_sha


def _register(session: Session, bundle: Bundle, name: str) -> EncoderAnswer:
    encoder = _find_same(session, bundle, name)
    if encoder is None:
        manifest = bundle.manifest
        encoder = Encoder(sha=bundle.sha, name=name, dim=manifest.dim, manifest=manifest.model_dump(mode="json"))
        EncoderRepository(session).add(encoder)
    encoder.removed_at = None  # its bundle was just copied again
    encoder.job = None  # a person wants it: it stays, whatever made it
    return to_answer(encoder)
