"""What the held-out rows say of a finished encoder: metrics, thresholds, and the answers behind them."""

import numpy as np
from numpy.typing import NDArray

from model.contract.deciding.decision import DecisionParameters, decide
from model.contract.deciding.evidence import EvidenceGatherer
from model.contract.deciding.familiarity import Familiarity
from model.contract.deciding.head import Head, LabelHead
from model.contract.deciding.word_overlap import WordOverlap
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import TextContract
from model.data.strangers import make_strangers
from model.data.training_data import TrainingData
from model.evaluation.calibrate import Candidates, Sentences, calibrate, gather_candidates
from model.evaluation.decision_metrics import decision_metrics
from model.evaluation.held_out import HeldOut, HeldOutAnswers, LabelAnswers, Measured, answerable, best_labels
from model.evaluation.label_metrics import LabelTruth, label_head_metrics
from model.evaluation.label_thresholds import calibrate_labels
from model.export.graphs import to_onnx
from model.training.loop import Trained


def measure_held_out(trained: Trained, data: TrainingData) -> Measured:
    """Thresholds and metrics from the held-out rows, looked up among all rows, each one without itself."""
    if not data.valid:
        return Measured(DecisionParameters(), {})
    _, exported = to_onnx(trained.encoder, trained.contract, data.config.storage)
    stored = exported.encode([row.text for row in [*data.looked_up(), *data.valid]])
    label_head = trained.objective.label_head()
    measured = (
        _measure_labels(label_head, exported.contract, stored, trained.monitor, data)
        if label_head is not None
        else _measure_groups(exported, trained.objective.head(), stored, trained.monitor, data)
    )
    measured.metrics["kept_epoch"] = trained.kept_epoch
    return measured


def _measure_labels(
    head: LabelHead, contract: TextContract, stored: NDArray[np.float32], monitor: str, data: TrainingData
) -> Measured:
    valid = stored[len(data.train) :]
    knows = Familiarity.of(contract, [row.text for row in data.train]).knows
    familiar = np.array([knows(row.text) for row in data.valid], np.float32)  # as the bundle has it
    confidences = head.confidences(valid, [contract.tokenise(row.text) for row in data.valid]) * familiar[:, None]
    truth = LabelTruth.of(data.valid, head.labels)
    known = slice(0, len(head.labels))  # labels that only the held-out rows have come after those of the head
    threshold, single = calibrate_labels(
        confidences,
        truth.applies[:, known],
        head.labels,
        data.config.label_threshold_rule,
        known=truth.known[:, known],
    )
    decision = DecisionParameters(label_threshold=threshold, label_thresholds=single)
    thresholds = decision.thresholds_of(head.labels)
    answers = LabelAnswers(head.labels, confidences, thresholds.astype(np.float32))
    metrics = label_head_metrics(head.labels, confidences, data.valid, thresholds)
    return Measured(decision, metrics, HeldOutAnswers(monitor=monitor, embeddings=stored, labels=answers))


def _measure_groups(
    exported: OnnxEncoder, head: Head | None, stored: NDArray[np.float32], monitor: str, data: TrainingData
) -> Measured:
    rows = [*data.looked_up(), *data.valid]
    groups = [row.group or "" for row in rows]
    all_rows = Sentences([row.text for row in rows], stored, groups)
    n_looked_up = len(data.looked_up())
    valid = stored[n_looked_up:]
    asked = answerable(groups, n_looked_up)
    learnt = [row.text for row in data.train]
    gatherer = EvidenceGatherer(
        head,
        knows=Familiarity.of(exported.contract, learnt).knows,
        words=WordOverlap.of(exported.contract, learnt),
        with_energy=True,
        with_likenesses=True,
    )
    queries = Sentences([rows[row].text for row in asked], stored[asked], [groups[row] for row in asked])
    inside = gather_candidates(queries, all_rows, gatherer, exclude=np.array(asked, np.int64))
    made = make_strangers(rows, len(data.out_of_scope)) if asked else []
    strangers = [*data.out_of_scope, *made]
    unasked = Sentences(strangers, exported.encode(strangers), [None] * len(strangers))
    outside = gather_candidates(unasked, all_rows, gatherer)
    decision = _choose_decision(inside, outside, data, are_made=bool(made))
    told = outside[: len(data.out_of_scope)] or outside
    answers = HeldOutAnswers(
        monitor=monitor,
        embeddings=stored,
        decisions=tuple(decide(candidates.evidence, decision) for candidates in inside),
        strangers=tuple(decide(candidates.evidence, decision) for candidates in told),
        n_made=len(made),
        head_labels=head.labels if head else (),
        head_given=tuple(best_labels(head, valid)) if head else (),
    )
    metrics = HeldOut(data, has_head=head is not None).measure(valid, stored[:n_looked_up], head)
    of_decisions = decision_metrics(inside, told, decision)
    names = of_decisions.keys() if data.out_of_scope else ("in_scope_accuracy", "ece")  # made ones are no strangers
    metrics |= {name: of_decisions[name] for name in names}
    return Measured(decision, metrics, answers)


def _choose_decision(
    inside: list[Candidates], outside: list[Candidates], data: TrainingData, *, are_made: bool
) -> DecisionParameters:
    config = data.config
    return calibrate(
        inside,
        outside,
        are_made=are_made,
        is_refit=bool(config.refit),
        threshold_rule=config.threshold_rule,
        false_accept_target=config.false_accept_target,
        out_of_scope_score=config.out_of_scope_score,
        logit_adjustment_tau=config.posthoc_tau,
        precision_target=config.precision_target,
    )
