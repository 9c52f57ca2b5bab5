"""A finished run as a bundle: the graph with its proof of parity, class vectors, thresholds, probe and manifest."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from model.calibrate import calibrate, find_nearest, gather_candidates, without_own_group
from model.config import Config
from model.contract import manifest as names
from model.contract.bundle import Bundle, head_files, load_bundle, probe_json, write_bundle
from model.contract.decision import DecisionParameters, decide
from model.contract.manifest import DatasetSummary, Manifest
from model.contract.normalise import CJK, WORD, normalise, script_runs
from model.contract.onnx_encoder import OnnxEncoder
from model.data import TrainingData
from model.graph import OPSET, build_graph
from model.held_out import HeldOut, HeldOutAnswers
from model.parity import check_parity
from model.train import Trained

_PROBE_ODDITIES = (
    "",
    "?",
    "你好",
    "hello",
    "ＦＵＬＬ　ｗｉｄｔｈ １２３",
    "混合 mixed 文本 text 😀",
    "naïve café",
    "a" * 300,
)
_PROBE_SIZE = 32


@dataclass(frozen=True, slots=True)
class Measured:
    """Thresholds and figures from the held-out rows, and the answers behind them."""

    decision: DecisionParameters
    metrics: dict[str, float]
    answers: HeldOutAnswers | None = None


def export(trained: Trained, measured: Measured, data: TrainingData, seed: int, folder: Path) -> Bundle:
    """Write and load back the bundle of a finished run.

    Raises:
        ParityError: The graph does not answer like the trained encoder; nothing is written.
    """
    config = data.config
    graph, exported = _to_onnx(trained, config)
    worst = check_parity(trained.encoder, exported)
    head = trained.objective.head()
    files = {
        names.ENCODER_FILE: graph,
        names.TEXT_FILE: trained.contract.to_json().encode(),
        names.VOCABULARY_FILE: trained.contract.to_vocabulary_text().encode(),
        names.PROBE_FILE: probe_json(exported, _probe_sentences(data)),
        **(head_files(head) if head else {}),
    }
    manifest = Manifest(
        samesay_version=version("samesay"),
        dim=exported.dim,
        max_tokens=trained.contract.config.max_tokens,
        max_chars=trained.contract.config.max_chars,
        text_version=trained.contract.config.text_version,
        unicode_data=unicodedata.unidata_version,
        opset=OPSET,
        storage=config.storage,
        inputs=("ids", "lengths", "grams") if config.buckets else ("ids", "lengths"),
        languages=_languages(row.text for row in data.train),
        head="softmax" if head else None,
        n_labels=len(head.labels) if head else 0,
        decision=measured.decision,
        parent=None,
        dataset=DatasetSummary(
            fingerprint=data.fingerprint,
            n_sentences=len(data.train) + len(data.valid),
            n_groups=len(head.labels) if head else len(data.labels),
        ),
        config=config.model_dump(mode="json"),
        seed=seed,
        metrics={**measured.metrics, "parity_difference": worst},
        files={},
    )
    write_bundle(folder, files, manifest)
    return load_bundle(folder)


def _to_onnx(trained: Trained, config: Config) -> tuple[bytes, OnnxEncoder]:
    if config.storage == "float16":
        trained.encoder.half().float()  # round as the file will, so that parity compares like with like
    graph = build_graph(trained.encoder, config.storage)
    return graph, OnnxEncoder(trained.contract, graph)


def measure_held_out(trained: Trained, data: TrainingData) -> Measured:
    """Thresholds and metrics from the held-out rows, looked up among all rows, each one without itself."""
    if not data.valid:
        return Measured(DecisionParameters(), {})
    _, exported = _to_onnx(trained, data.config)
    head = trained.objective.head()
    rows = [*data.train, *data.valid]
    groups = [row.group or "" for row in rows]
    stored = exported.encode([row.text for row in rows])
    valid_rows = np.arange(len(data.train), len(rows))
    found = find_nearest(stored[valid_rows], stored, exclude=valid_rows)
    true_groups = [groups[row] for row in valid_rows]
    inside = gather_candidates(stored[valid_rows], true_groups, found, groups, head)
    outside = []
    if data.out_of_scope:
        strangers = exported.encode(data.out_of_scope)
        far = find_nearest(strangers, stored, exclude=None)
        outside = gather_candidates(strangers, [None] * len(strangers), far, groups, head)
    held_out = HeldOut(data, has_head=head is not None)
    metrics = held_out.measure(stored[valid_rows], stored[: len(data.train)], head)
    decision = calibrate(inside, outside)
    not_ours = outside or [without_own_group(candidates) for candidates in inside]
    answers = HeldOutAnswers(
        watched=held_out.watched,
        embeddings=stored,
        decisions=tuple(decide(c.neighbour_scores, c.head_cosines, decision) for c in inside),
        strangers=tuple(decide(c.neighbour_scores, c.head_cosines, decision) for c in not_ours),
        head_labels=head.labels if head else (),
        head_cosines=head.cosines(stored[valid_rows]) if head else None,
    )
    return Measured(decision, {**metrics, "best_epoch": trained.best_epoch}, answers)


def _probe_sentences(data: TrainingData) -> list[str]:
    step = max(1, len(data.train) // (_PROBE_SIZE - len(_PROBE_ODDITIES)))
    texts = [*_PROBE_ODDITIES, *(row.text for row in data.train[::step])]
    return [text.encode(errors="replace").decode() for text in texts[:_PROBE_SIZE]]


def _languages(sentences: Iterable[str]) -> tuple[str, ...]:
    """`zh` and `en` by script: each that makes up a twentieth of the runs. A hint for people, nothing depends on it."""
    kinds = [kind for sentence in sentences for kind, _ in script_runs(normalise(sentence))]
    shares = {"en": kinds.count(WORD) / max(1, len(kinds)), "zh": kinds.count(CJK) / max(1, len(kinds))}
    return tuple(sorted(language for language, share in shares.items() if share >= 0.05))
