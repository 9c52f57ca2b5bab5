"""The bundle: a folder that holds an encoder and all that belongs to it. Written at once, verified whole on load."""

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.contract import manifest as names
from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.evidence import EvidenceGatherer, OutOfScopeScore
from model.contract.deciding.familiarity import Familiarity
from model.contract.deciding.head import Head as Head
from model.contract.deciding.head import LabelHead as LabelHead
from model.contract.deciding.word_overlap import WordOverlap
from model.contract.errors import BundleDamagedError, BundleMissingError, BundleVersionError, SelfTestError
from model.contract.files import sync_path
from model.contract.head_files import head_files as head_files
from model.contract.head_files import read_head
from model.contract.manifest import FileEntry, Manifest
from model.contract.many_encoder import ManyEncoder, ManyGraphs
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import TextContract

PROBE_TOLERANCE: Final = 1e-4
"""Largest difference of a probe vector: other processors round differently, a wrong graph differs far more."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, ready to encode; it has one kind of head at most.

    Attributes:
        learnt: The groups that it has class vectors of.
    """

    path: Path
    sha: str
    manifest: Manifest
    encoder: OnnxEncoder
    head: Head | None = None
    label_head: LabelHead | None = None
    familiarity: Familiarity | None = None
    words: WordOverlap | None = None
    learnt: frozenset[str] = frozenset()

    def knows(self, text: str) -> bool:
        """Whether the encoder knows anything of a text; True of a bundle that cannot tell."""
        return self.familiarity is None or self.familiarity.knows(text)

    def deciding_head(self, groups: Collection[str]) -> Head | None:
        """The part of the head that decides where these groups have records; None where none of it counts."""
        if self.head is None or not self.manifest.decision.uses_head:
            return None
        return self.head.keep([row for row, label in enumerate(self.head.labels) if label in groups])

    def gatherer(self, head: Head | None, parameters: DecisionParameters) -> EvidenceGatherer:
        """Gathers what decisions with these parameters are made from.

        Args:
            head: The part of the head that decides; None where none does.
            parameters: Of the decisions.
        """
        return EvidenceGatherer(
            head,
            learnt=self.learnt,
            knows=self.knows,
            words=self.words if parameters.word_weight else None,
            with_energy=head is not None and parameters.score is OutOfScopeScore.ENERGY,
        )

    def label_confidences(self, sentences: Sequence[str], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability that each label of the label head applies; 0 where the encoder knows nothing of a sentence.

        Args:
            sentences: n of them.
            embeddings: (n, dim), theirs.

        Returns:
            (n, n_labels) float32.
        """
        head = self.label_head
        assert head is not None
        needs_words = head.words is not None
        tokens = [*map(self.encoder.contract.tokenise, sentences)] if needs_words else ()
        familiar = np.array([self.knows(text) for text in sentences], np.float32)
        return head.confidences(embeddings, tokens) * familiar[:, None]


def write_bundle(folder: Path, files: Mapping[str, bytes], manifest: Manifest) -> str:
    """Write a bundle so that it is there whole or not at all; one already there is replaced.

    Args:
        folder: Where the bundle shall lie.
        files: Name to content, without the manifest.
        manifest: Its `files` are filled in here.

    Returns:
        The bundle's sha256.
    """
    entries = {
        name: FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    }
    text = manifest.model_copy(update={"files": entries}).model_dump_json(indent=2).encode() + b"\n"
    staging, retired = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "old"))
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed here
    staging.mkdir(parents=True)
    try:
        for name, content in [*files.items(), (names.MANIFEST_FILE, text)]:
            (staging / name).write_bytes(content)
            sync_path(staging / name)
        sync_path(staging)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)  # a full disk is not to be filled further
        raise
    shutil.rmtree(retired, ignore_errors=True)
    if folder.exists():
        folder.rename(retired)
    staging.rename(folder)
    sync_path(folder.parent)
    shutil.rmtree(retired, ignore_errors=True)
    return hashlib.sha256(text).hexdigest()


def load_bundle(folder: Path) -> Bundle:
    """Verify every checksum, load the encoder and let it reproduce its probe.

    Raises:
        BundleMissingError: No bundle there.
        BundleVersionError: Written in another format.
        BundleDamagedError: A file is missing, altered or unreadable; it is named.
        SelfTestError: The encoder answers differently here than where it was made.
    """
    manifest, sha = read_manifest(folder)
    contents = {name: _read_verified(folder, name, entry) for name, entry in manifest.files.items()}
    missing = [name for name in names.REQUIRED_FILES if name not in contents]
    if missing:
        raise BundleDamagedError(f"{folder}: {missing[0]} is not in the manifest")
    text, vocabulary = (_decoded(folder, name, contents[name]) for name in (names.TEXT_FILE, names.VOCABULARY_FILE))
    contract = TextContract.from_files(text, vocabulary)
    many = _load_many(folder, contents)  # by path, as the encoder: a session keeps the bytes it is given
    encoder = OnnxEncoder(contract, folder / names.ENCODER_FILE, many=many)
    if encoder.dim != manifest.dim:
        raise BundleDamagedError(f"{folder}: encoder.onnx has dim {encoder.dim}, the manifest says {manifest.dim}")
    _self_test(folder, encoder, contents[names.PROBE_FILE])
    contract.warm_up()
    head = _read_head(folder, manifest, contents)
    bundle = Bundle(
        folder,
        sha,
        manifest,
        encoder,
        familiarity=_read_familiarity(folder, contract, contents),
        words=_read_words(folder, contract, contents),
    )
    if isinstance(head, LabelHead):
        return replace(bundle, label_head=head)
    return bundle if head is None else replace(bundle, head=head, learnt=frozenset(head.labels))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read the manifest alone, without verifying the files it names; also its sha256, the bundle's identity."""
    path = folder / names.MANIFEST_FILE
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleMissingError(
            f"{folder} holds no bundle (no {names.MANIFEST_FILE}): give RUN/bundle of a training"
        ) from None
    try:
        version = json.loads(raw)["schema_version"]
        if version != names.SCHEMA_VERSION:
            raise BundleVersionError(f"{path}: schema_version {version}, this samesay reads {names.SCHEMA_VERSION}")
        return Manifest.model_validate_json(raw), hashlib.sha256(raw).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        raise BundleDamagedError(f"{path} is not readable: {reason}") from error


def probe_json(encoder: OnnxEncoder, sentences: Sequence[str]) -> bytes:
    """The content of probe.json: sentences with their token ids and vectors."""
    vectors = encoder.encode(sentences)
    entries = [
        {"text": text, "ids": encoder.contract.tokenise(text).ids, "vector": [round(float(x), 7) for x in vector]}
        for text, vector in zip(sentences, vectors, strict=True)
    ]
    return json.dumps(entries, ensure_ascii=True).encode()


def _read_verified(folder: Path, name: str, entry: FileEntry) -> bytes:
    if "/" in name or name.startswith("."):
        raise BundleDamagedError(f"{folder}: the manifest names {name!r}, which is not a plain file name")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise BundleDamagedError(f"{folder / name} cannot be read: {error.strerror}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != entry.sha256:
        raise BundleDamagedError(
            f"{folder / name} was altered: sha256 {actual[:12]}, the manifest says {entry.sha256[:12]}; export again"
        )
    return content


def _decoded(folder: Path, name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BundleDamagedError(f"{folder / name} is not UTF-8: {error}") from error


def _load_many(folder: Path, contents: Mapping[str, bytes]) -> ManyEncoder | None:
    """What encodes many sentences; None of an encoder that has no graphs for it, or was exported before there were."""
    if names.TOKENS_FILE not in contents or names.SENTENCES_FILE not in contents:
        return None
    return ManyEncoder(ManyGraphs(folder / names.TOKENS_FILE, folder / names.SENTENCES_FILE))


def _self_test(folder: Path, encoder: OnnxEncoder, probe: bytes) -> None:
    try:
        entries = [(str(entry["text"]), entry["ids"], entry["vector"]) for entry in json.loads(probe)]
        expected = np.array([vector for _, _, vector in entries], np.float32)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamagedError(f"{folder / names.PROBE_FILE} is not readable: {error!r}") from error
    if not entries or expected.shape != (len(entries), encoder.dim):
        raise BundleDamagedError(f"{folder / names.PROBE_FILE} holds no vectors of dim {encoder.dim}")
    tokens = [encoder.contract.tokenise(text) for text, _, _ in entries]
    if [sentence.ids for sentence in tokens] != [ids for _, ids, _ in entries]:
        raise SelfTestError(
            f"{folder}: a probe sentence gets other tokens here; was another Python's Unicode data used?"
        )
    for graphs in (encoder, encoder.many):
        if graphs is None:
            continue
        difference = float(np.abs(graphs.encode_tokens(tokens) - expected).max())
        if not difference <= PROBE_TOLERANCE:
            raise SelfTestError(f"{folder}: a probe vector is off by {difference:.2e}, more than {PROBE_TOLERANCE}")


def _read_head(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Head | LabelHead | None:
    try:
        return read_head(manifest, contents)
    except BundleDamagedError as error:
        raise BundleDamagedError(f"{folder}: {error}") from error


def _read_familiarity(folder: Path, contract: TextContract, contents: Mapping[str, bytes]) -> Familiarity | None:
    hashes = _read_numbers(folder, names.GRAMS_FILE, contents)
    return None if hashes is None else Familiarity(contract, hashes)


def _read_words(folder: Path, contract: TextContract, contents: Mapping[str, bytes]) -> WordOverlap | None:
    frequencies = _read_numbers(folder, names.FREQUENCIES_FILE, contents)
    try:
        return None if frequencies is None else WordOverlap(contract, frequencies)
    except BundleDamagedError as error:
        raise BundleDamagedError(f"{folder / names.FREQUENCIES_FILE}: {error}") from error


def _read_numbers(folder: Path, name: str, contents: Mapping[str, bytes]) -> NDArray[np.uint32] | None:
    """None of a bundle that was exported before it had such a file."""
    if name not in contents:
        return None
    try:
        numbers: NDArray[np.generic] = np.lib.format.read_array(BytesIO(contents[name]), allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise BundleDamagedError(f"{folder / name} cannot be read: {error}") from error
    if numbers.dtype != np.uint32 or numbers.ndim != 1:
        found = f"{numbers.dtype} of shape {numbers.shape}"
        raise BundleDamagedError(f"{folder / name} cannot be read: {found} is not a list of uint32")
    return numbers.astype(np.uint32)
