"""A finished run as a bundle: the graph with its proof of parity, class vectors, thresholds, probe and manifest."""

import unicodedata
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from model.contract import manifest as names
from model.contract.bundle import Bundle, head_files, load_bundle, probe_json, write_bundle
from model.contract.deciding.familiarity import Familiarity
from model.contract.deciding.word_overlap import WordOverlap
from model.contract.head_files import head_kind, npy
from model.contract.manifest import DatasetSummary, Manifest
from model.contract.normalise import CJK, WORD, normalise, script_runs
from model.data.training_data import TrainingData
from model.evaluation.held_out import Measured
from model.export.graph_builder import OPSET
from model.export.graphs import to_onnx
from model.export.parity import check_parity
from model.export.probe import probe_sentences
from model.training.loop import Trained


def export(trained: Trained, measured: Measured, data: TrainingData, seed: int, folder: Path) -> Bundle:
    """Write and load back the bundle of a finished run.

    Raises:
        ParityError: The graph does not answer like the trained encoder; nothing is written.
    """
    config = data.config
    graphs, exported = to_onnx(trained.encoder, trained.contract, config.storage)
    worst = check_parity(trained.encoder, exported)
    learnt = [row.text for row in ([*data.train, *data.valid] if config.refit else data.train)]
    head = trained.objective.head()
    any_head = head or trained.objective.label_head()
    files = {
        **graphs.files(),
        names.TEXT_FILE: trained.contract.to_json().encode(),
        names.VOCABULARY_FILE: trained.contract.to_vocabulary_text().encode(),
        names.PROBE_FILE: probe_json(exported, probe_sentences(trained.contract.vocabulary)),
        names.GRAMS_FILE: npy(Familiarity.of(trained.contract, learnt).gram_hashes),
        names.FREQUENCIES_FILE: npy(WordOverlap.of(trained.contract, learnt).frequencies),
        **(head_files(any_head) if any_head else {}),
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
        head=head_kind(any_head),
        head_scale=head.scale if head else None,
        n_labels=len(any_head.labels) if any_head else 0,
        decision=measured.decision,
        parent=None,
        dataset=DatasetSummary(
            fingerprint=data.fingerprint,
            n_sentences=len(data.train) + len(data.valid),
            n_groups=len(any_head.labels) if any_head else len(data.labels),
        ),
        config=config.model_dump(mode="json"),
        seed=seed,
        metrics={**measured.metrics, "parity_difference": worst},
        files={},
    )
    write_bundle(folder, files, manifest)
    return load_bundle(folder)


def _languages(sentences: Iterable[str]) -> tuple[str, ...]:
    """`zh` and `en` by script: each that makes up a twentieth of the runs. A hint for people, nothing depends on it."""
    kinds = [kind for sentence in sentences for kind, _ in script_runs(normalise(sentence))]
    shares = {"en": kinds.count(WORD) / max(1, len(kinds)), "zh": kinds.count(CJK) / max(1, len(kinds))}
    return tuple(sorted(language for language, share in shares.items() if share >= 0.05))
