"""manifest.json of a snapshot: what it holds, who made it, and a checksum of every file, its own included."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import xxhash

from index.errors import InvalidSpecError, SnapshotDamagedError, SnapshotVersionError
from index.milvus_kinds import MilvusKind, MilvusSpec
from index.spec import IndexKind, IndexSpec

MANIFEST: Final = "manifest.json"

SCHEMA_VERSION: Final = 2

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file: its length, and the XXH3 checksum (128 bits) of its bytes in hex: it finds damage, not forgery."""

    size_bytes: int
    xxh3_128: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a snapshot holds.

    Attributes:
        encoder_checksum: Of the encoder that made the vectors.
        dim: Numbers of a vector.
        count: Records.
        applied_seq: The sequence number up to which every change is in here.
        known_seq: The newest change that any record may show; it and all before it must have happened.
        tag: What the caller knows that one by, to tell another history with the same numbers.
        spec: What was built, its parameters as tuned.
        index_recall: As measured when it was built.
        files: Every other file, by name.
        collection: Where the vectors are, on an index server; None where they are here.
    """

    encoder_checksum: str
    dim: int
    count: int
    applied_seq: int
    known_seq: int
    tag: int
    spec: IndexSpec | MilvusSpec
    index_recall: float
    files: Mapping[str, FileEntry]
    collection: str | None = None

    def to_bytes(self) -> bytes:
        """The file's one possible content, so that any changed byte shows."""
        fields = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        if self.collection is None:  # as before there were any
            del fields["collection"]
        return _canonical({**fields, "checksum": xxhash.xxh3_128_hexdigest(_canonical(fields))})


def load_manifest(folder: Path) -> Manifest:
    """Read and verify a snapshot's manifest.

    Raises:
        SnapshotDamagedError: It is missing, or not as it was written.
        SnapshotVersionError: It was written by another version of the format.
    """
    name = str(folder / MANIFEST)
    try:
        raw = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise SnapshotDamagedError(name, "there is no such file") from None
    try:
        fields = json.loads(raw)
        version, checksum = fields.pop("schema_version"), fields.pop("checksum")
        whole = xxhash.xxh3_128_hexdigest(_canonical({"schema_version": version, **fields})) == checksum
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SnapshotDamagedError(name, f"no manifest can be read from it ({error})") from error
    if not whole:
        raise SnapshotDamagedError(name, "its own checksum differs")
    if version != SCHEMA_VERSION:
        raise SnapshotVersionError(
            f"snapshot {folder} has schema version {version}, this program reads {SCHEMA_VERSION}: rebuild the index"
        )
    manifest = _parse(name, fields)
    if manifest.to_bytes() != raw:
        raise SnapshotDamagedError(name, "its bytes are not as they were written")
    return manifest


def describe_file(path: Path) -> FileEntry:
    """Length and checksum of a file.

    Raises:
        OSError: It cannot be read.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        return FileEntry(size_bytes=file.tell(), xxh3_128=digest.hexdigest())


def _parse(name: str, fields: dict[str, Any]) -> Manifest:
    try:
        spec = fields.pop("spec")
        return Manifest(
            **{
                **fields,
                "spec": _parse_spec(spec, is_remote="collection" in fields),
                "files": {file: FileEntry(**entry) for file, entry in fields["files"].items()},
            }
        )
    except (ValueError, KeyError, AttributeError, TypeError, InvalidSpecError) as error:
        raise SnapshotDamagedError(name, f"a field is wrong ({error})") from error


def _parse_spec(spec: dict[str, Any], *, is_remote: bool) -> IndexSpec | MilvusSpec:
    if is_remote:
        return MilvusSpec(**{**spec, "kind": MilvusKind(spec["kind"])})
    return IndexSpec(**{**spec, "kind": IndexKind(spec["kind"])})


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"
