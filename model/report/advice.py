"""What to try next: plain sentences, each with the figure that speaks for it."""

import math
from collections.abc import Callable
from itertools import islice

from model.evaluation.metrics import standard_error
from model.report.data import SMALL_GROUP, Confusion, Curve, ReportData
from model.report.wording import count

MOST_ADVICE = 5

_CLEAR_STEP = 0.01
"""A difference of metrics worth a word, one point."""

_LOSS_GAP = 2.0
"""A held-out loss this many times the training loss has been learnt by heart."""

_ACCURACY_GAP = 0.2

_LEARNT = 0.5
"""Share of the training sentences that even a poor run gets right at its end."""

_USUAL_EPOCHS = 25
_FEW_HELD_OUT = 200
_LARGE_ECE = 0.05
_LONG_TAIL = 10


def advise(report: ReportData) -> list[str]:
    """At most five sentences, most useful first: the data before the settings, what is sure before what is likely."""
    return list(islice((sentence for rule in _RULES if (sentence := rule(report))), MOST_ADVICE))


def remedy(confusion: Confusion) -> str:
    """What to do about two groups that are taken for one another."""
    if confusion.shared:
        return f"{count(confusion.shared, 'sentence')} in both: keep each in one group, or merge the groups"
    if confusion.second_as_first and confusion.first_as_second:
        return "confused both ways: merge them if they mean the same, else add variants that tell them apart"
    if confusion.first_size < confusion.second_size / 2:
        return f"add variants to {confusion.first}: it has {confusion.first_size} against {confusion.second_size}"
    return (
        f"move these sentences of {confusion.first} if they belong to {confusion.second}, else add variants like them"
    )


def _hardly_trained(report: ReportData) -> str | None:
    training = report.curve("train_accuracy")
    if training is None or training.values[-1] >= _LEARNT:
        return None
    more = max(_USUAL_EPOCHS, 2 * training.epochs[-1])
    return (
        f"After {count(training.epochs[-1], 'epoch')} only {training.values[-1]:.1%} of the training sentences are "
        f"right: it has hardly learnt yet. Train longer (--set epochs={more}), and not by the recipe smoke."
    )


def _duplicates(report: ReportData) -> str | None:
    if not report.n_duplicates:
        return None
    first = report.duplicates[0]
    return (
        f"{count(report.n_duplicates, 'sentence')} in more than one group, such as “{first.sentence}” in "
        f"{' and '.join(first.groups)}: no training can tell them apart. Keep each in one group."
    )


def _confused_pair(report: ReportData) -> str | None:
    if not report.confusions or report.confusions[0].n < 2 or _hardly_trained(report):
        return None
    worst = report.confusions[0]
    if not worst.second_as_first:
        return f"{worst.first} is taken for {worst.second} {worst.n} times: {remedy(worst)}."
    return (
        f"{worst.first} and {worst.second} are taken for each other {worst.n} times "
        f"({worst.first_as_second} and {worst.second_as_first}): {remedy(worst)}."
    )


def _small_groups(report: ReportData) -> str | None:
    sizes = report.sizes
    if not sizes.n_small:
        return None
    verb = "has" if sizes.n_small == 1 else "have"
    return (
        f"{sizes.n_small:,} of {count(sizes.n_groups, 'group')} {verb} fewer than {SMALL_GROUP} sentences "
        f"(the smallest {sizes.smallest}): add variants, best as your users write them."
    )


def _no_strangers(report: ReportData) -> str | None:
    if report.sizes.n_out_of_scope or report.scores is None:
        return None
    chosen = f"No out-of-scope sentences were given, so the threshold {report.scores.threshold:.2f} was chosen"
    if not report.scores.n_made:
        return f"{chosen} without any, as none can be made of single words: give real ones, --out-of-scope FILE."
    return f"{chosen} by sentences made of your own: --out-of-scope FILE, with real ones, would make it better."


def _more_epochs(report: ReportData) -> str | None:
    watched = _watched(report)
    if watched is None or len(watched.values) < 2:
        return None
    before = max(watched.values[:-1])
    if watched.values[-1] <= before:
        return None
    return (
        f"The last epoch, {watched.epochs[-1]}, was the best ({report.watched} {watched.values[-1]:.3f}, "
        f"{before:.3f} before): try more, --set epochs={2 * watched.epochs[-1]}."
    )


def _learnt_by_heart(report: ReportData) -> str | None:
    gap = _loss_gap(report) or _accuracy_gap(report) or _metric_fell(report)
    return f"{gap}: try more dropout, R-Drop, or fewer epochs." if gap else None


def _loss_gap(report: ReportData) -> str | None:
    training, held_out = report.curve("loss_raw", "loss"), report.curve("valid_loss", "valid/loss")
    if training is None or held_out is None or held_out.values[-1] < _LOSS_GAP * max(training.values[-1], 0.0):
        return None
    return f"The training loss ended at {training.values[-1]:.3f}, the held-out loss at {held_out.values[-1]:.3f}"


def _accuracy_gap(report: ReportData) -> str | None:
    training, held_out = report.curve("train_accuracy"), report.metrics.get("head_accuracy")
    if training is None or held_out is None or training.values[-1] - held_out < _ACCURACY_GAP:
        return None
    return f"At the end {training.values[-1]:.1%} of the training sentences were right, of the held-out {held_out:.1%}"


def _metric_fell(report: ReportData) -> str | None:
    watched = _watched(report)
    if watched is None or max(watched.values) - watched.values[-1] < 2 * _CLEAR_STEP:
        return None
    best = watched.values.index(max(watched.values))
    return (
        f"After epoch {watched.epochs[best]} {report.watched} fell from {watched.values[best]:.3f} to "
        f"{watched.values[-1]:.3f} at epoch {watched.epochs[-1]}"
    )


def _watched(report: ReportData) -> Curve | None:
    """The curve of the watched metric; a run that watches its loss has none, since there less is better."""
    return report.curve(report.watched) if report.watched in report.metrics else None


def _few_held_out(report: ReportData) -> str | None:
    n, value = report.sizes.n_held_out, report.metrics.get(report.watched)
    if value is None or not 0 < n < _FEW_HELD_OUT:
        return None
    error = standard_error(value, n)
    return (
        f"Only {count(n, 'sentence')} held out: {report.watched} {value:.3f} is sure to ± {error:.3f} (one standard "
        "error). Compare settings on more, with --valid FILE or a larger --set valid_share."
    )


def _calibration(report: ReportData) -> str | None:
    calibration = report.calibration
    # with few sentences chance alone makes an error: only what is well beyond it is worth a word
    if calibration is None or calibration.ece < max(_LARGE_ECE, 2 * calibration.chance):
        return None
    return (
        f"Calibration error {calibration.ece:.2f} on {count(calibration.n, 'decision')} (chance alone makes "
        f"{calibration.chance:.2f}): read a confidence as a rank, or give more --valid and --out-of-scope sentences."
    )


def _long_tail(report: ReportData) -> str | None:
    sizes, gap = report.sizes, _macro_gap(report)
    if gap < 5 * _CLEAR_STEP or sizes.largest < _LONG_TAIL * max(1.0, sizes.median):
        return None
    return (
        f"Groups have {sizes.smallest} to {sizes.largest:,} sentences, and macro-F1 is {gap:.3f} below accuracy: the "
        "rare ones suffer. Add variants to them, or try class-balanced batches or logit adjustment."
    )


def _macro_gap(report: ReportData) -> float:
    metrics = report.metrics
    return metrics.get("head_accuracy", 0.0) - metrics.get("head_macro_f1", math.inf)


_RULES: tuple[Callable[[ReportData], str | None], ...] = (
    _duplicates,
    _hardly_trained,
    _confused_pair,
    _small_groups,
    _no_strangers,
    _more_epochs,
    _learnt_by_heart,
    _calibration,
    _long_tail,
    _few_held_out,
)
