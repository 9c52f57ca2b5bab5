"""Collections of a Milvus server: built whole, tuned, opened for one encoder only.

What a collection is made of is said in its description. How well it finds is noted last: one without that is what a
crash has left.
"""

import json
import re
import uuid
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from index.backends.milvus.index import Facts, MilvusIndex
from index.backends.milvus.server import Milvus
from index.backends.milvus.told import Note
from index.backends.rows import Rows
from index.backends.trial import make_trials
from index.backends.tuning import MARGIN, measure_by_search
from index.errors import CollectionLostError, IndexServerAwayError, IndexServerRefusedError, WrongEncoderError
from index.milvus_kinds import MilvusKind, MilvusSpec, build_parameters, choose_lists, efforts_of
from index.types import Vectors

FEW: Final = 1_024
"""Milvus makes no index of fewer rows, but compares them all: there is nothing to tune."""

TRY_S: Final = 20.0
"""A small index is there in two seconds, or never."""

_MARK: Final = "samesay"
_MILLION: Final = 1_000_000


def collection_name(*parts: str) -> str:
    """A name of letters, digits and underscores, as Milvus wants it."""
    return re.sub(r"\W", "_", "_".join(("samesay", *parts)), flags=re.ASCII)


def build_collection(
    server: Milvus,
    name: str,
    record_ids: ArrayLike,
    vectors: Vectors,
    spec: MilvusSpec,
    *,
    encoder_checksum: str,
    applied_seq: int,
    known_seq: int = 0,
    tag: int = 0,
    queries: Vectors | None = None,
) -> MilvusIndex:
    """Build a collection, and open it. What a crash has left under its name is replaced.

    Args:
        server: Where.
        name: Of letters, digits and underscores; searches of other collections go on meanwhile.
        record_ids: (n,) int64, non-negative, each once, in any order.
        vectors: (n, dim) float32, unit rows; n may be 0; may be memory-mapped.
        spec: What to build.
        encoder_checksum: Of the encoder that made the vectors.
        applied_seq: The sequence number up to which every change is in them.
        known_seq: The newest change that any of them may show; by default `applied_seq`.
        tag: What the caller knows that one by.
        queries: (m, dim) float32 typical queries to tune with; None makes some from the vectors.

    Raises:
        InvalidInputError: Naming the wrong vector or id.
        IndexServerError: The server is away, has no such kind, or has a whole collection of this name.
    """
    rows = Rows.sorted(record_ids, vectors)
    spec = replace(spec, nlist=choose_lists(spec, len(rows)))
    _make_room(server, name)
    if spec.kind is MilvusKind.GPU_IVF_FLAT:
        _try_kind(server, spec)
    made = {_MARK: 1, "encoder": encoder_checksum, "dim": rows.dim, "rows": len(rows), "spec": asdict(spec)}
    server.create(name, rows.dim, json.dumps(made))
    server.insert(name, rows.record_ids, rows.vectors, applied_seq)
    server.build_index(name, spec.kind, build_parameters(spec))
    server.load(name)
    known_seq = max(known_seq, applied_seq)
    notes = {Note.APPLIED_SEQ: applied_seq, Note.KNOWN_SEQ: known_seq, Note.TAG: tag}
    server.write_notes(name, rows.dim, notes)
    facts = Facts(dim=rows.dim, spec=spec, index_recall=1.0, built_rows=len(rows), known_seq=known_seq, tag=tag)
    facts = _tuned(lambda facts: MilvusIndex(server, name, facts, applied_seq), facts, rows, queries)
    tuned = {Note.EFFORT: facts.spec.effort, Note.RECALL: round(facts.index_recall * _MILLION)}
    server.write_notes(name, rows.dim, tuned)
    return MilvusIndex(server, name, facts, applied_seq)


def open_collection(server: Milvus, name: str, *, encoder_checksum: str, dim: int) -> MilvusIndex:
    """Open the collection of this name, or the one that the alias of this name means now.

    Raises:
        WrongEncoderError: It was made by another encoder, or has another dim.
        CollectionLostError: There is none, or one that is not whole, or not ours.
        IndexServerError: The server is away, or refuses.
    """
    found = server.find(name)
    if found is None:
        raise CollectionLostError(server.address, f"open collection {name}", "there is none: build it")
    made = _read(found.description)
    if made is None:
        raise CollectionLostError(server.address, f"open collection {name}", "it is not of samesay's making")
    if (made["encoder"], made["dim"]) != (encoder_checksum, dim):
        raise WrongEncoderError(
            f"collection {found.name} at {server.address}",
            found=made["encoder"],
            found_dim=made["dim"],
            expected=encoder_checksum,
            expected_dim=dim,
        )
    notes = _notes(server, found.name)
    if Note.RECALL not in notes:
        raise CollectionLostError(server.address, f"open collection {name}", "it is not whole: build it anew")
    spec = MilvusSpec(**{**made["spec"], "kind": MilvusKind(made["spec"]["kind"]), "effort": notes[Note.EFFORT]})
    facts = Facts(
        dim=dim,
        spec=spec,
        index_recall=notes[Note.RECALL] / _MILLION,
        built_rows=made["rows"],
        known_seq=notes[Note.KNOWN_SEQ],
        tag=notes[Note.TAG],
    )
    return MilvusIndex(server, found.name, facts, notes[Note.APPLIED_SEQ])


def _read(description: str) -> dict[str, Any] | None:
    try:
        made = json.loads(description)
    except ValueError:
        return None
    return made if isinstance(made, dict) and _MARK in made else None


def _notes(server: Milvus, name: str) -> dict[Note, int]:
    if not server.is_built(name):
        return {}
    server.load(name)
    return server.read_notes(name)


def _make_room(server: Milvus, name: str) -> None:
    found = server.find(name)
    if found is None:
        return
    if _read(found.description) is None or Note.RECALL in _notes(server, name):
        raise IndexServerRefusedError(
            server.address, f"build collection {name}", "there is one already: open it, or drop it first"
        )
    server.drop(name)


def _try_kind(server: Milvus, spec: MilvusSpec) -> None:
    """Have a small index built: a server without a GPU takes the order for some kinds, and tries in vain for ever."""
    name, dim, n = f"samesay_try_{uuid.uuid4().hex}", 8, 2_048
    vectors = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32)
    server.create(name, dim, "")
    try:
        server.insert(name, np.arange(n), vectors, 0)
        server.build_index(name, spec.kind, {"nlist": 16}, timeout_s=TRY_S)
    except IndexServerAwayError as error:
        reason = f"no index of 2,048 vectors came of it in {TRY_S} s: it may have no GPU; choose another kind"
        raise IndexServerRefusedError(server.address, f"build an index of kind {spec.kind}", reason) from error
    finally:
        server.drop(name)


def _tuned(open_with: Callable[[Facts], MilvusIndex], facts: Facts, rows: Rows, queries: Vectors | None) -> Facts:
    """The facts with the least effort that reaches the target, and the recall that this has on other queries."""
    efforts, spec = efforts_of(facts.spec), facts.spec
    if not spec.is_tuned:
        return facts
    if len(rows) < FEW:
        return facts if spec.effort else _with_effort(facts, efforts[len(efforts) // 2])
    tuning, measuring = make_trials(rows, queries)
    if not spec.effort:
        wanted = min(1.0, spec.target_recall + MARGIN)
        recall_of = cache(lambda effort: measure_by_search(open_with(_with_effort(facts, effort)), tuning))
        first = bisect_left(efforts, True, key=lambda effort: recall_of(effort) >= wanted)
        facts = _with_effort(facts, efforts[min(first, len(efforts) - 1)])
    return replace(facts, index_recall=measure_by_search(open_with(facts), measuring))


def _with_effort(facts: Facts, effort: int) -> Facts:
    return replace(facts, spec=replace(facts.spec, effort=effort))
