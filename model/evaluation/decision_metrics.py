"""How good decisions are: answered rightly, refused rightly, told apart, and as sure as they say."""

from collections.abc import Sequence

import numpy as np

from model.contract.deciding.decision import Decision, DecisionParameters, Outcome, decide
from model.evaluation.calibrate import Candidates
from model.evaluation.metrics import auroc, expected_calibration_error


def decision_metrics(
    inside: Sequence[Candidates], outside: Sequence[Candidates], parameters: DecisionParameters
) -> dict[str, float]:
    """Measure the decisions on sentences in scope and, if there are any, out of scope.

    Returns:
        in_scope_accuracy, the share of the sentences in scope that is matched, and rightly, and ece, the calibration
        error of the confidence over all sentences, where an ambiguous answer is right by its best group. With
        out-of-scope sentences also oos_recall, the share of these that is refused, and oos_auroc of the score that
        decides between them and the others.
    """
    answers = [decide(candidates.evidence, parameters) for candidates in [*inside, *outside]]
    right = [_is_right(answer, candidates) for answer, candidates in zip(answers, [*inside, *outside], strict=True)]
    confidences = np.array([answer.confidence for answer in answers])
    matched = [answer.outcome is Outcome.MATCHED for answer in answers]
    metrics = {
        "in_scope_accuracy": float(np.mean(np.logical_and(right, matched)[: len(inside)])),
        "ece": expected_calibration_error(confidences, np.array(right, bool)),
    }
    if not outside:
        return metrics
    scores = np.array([answer.score for answer in answers])
    return metrics | {
        "oos_recall": float(np.mean(right[len(inside) :])),
        "oos_auroc": auroc(scores[: len(inside)], scores[len(inside) :]),
    }


def _is_right(answer: Decision, candidates: Candidates) -> bool:
    if answer.outcome is Outcome.NO_MATCH:
        return candidates.true_group is None
    return answer.groups[0].group == candidates.true_group
