"""Sections on wrong answers: which groups are confused, which are hardest, and the sentences that cause it."""

from collections.abc import Sequence

from model.contract.markup import Html, element, join, table
from model.report.advice import remedy
from model.report.data import Answer, Confusion, HardGroup, Near, ReportData
from model.report.section import Section
from model.report.wording import breakable, count


def confusions(report: ReportData) -> Section | None:
    """The pairs of groups most often confused, with the sentences that cause it."""
    if not report.answered_by:
        return None
    if not report.confusions:
        return Section("confusions", "Confusions", element("p", "No held-out sentence was given a wrong group."))
    note = (
        f"An answer here is {report.answered_by}, whatever its score. {count(report.n_confusions, 'pair')} of groups "
        f"{'is' if report.n_confusions == 1 else 'are'} confused; the {len(report.confusions)} worst are below."
    )
    return Section("confusions", "Confusions", element("p", note, class_="soft"), *map(_confusion, report.confusions))


def hardest(report: ReportData) -> Section | None:
    """The groups of lowest F1, with their held-out sentences."""
    if not report.hard_groups:
        return None
    note = f"{count(report.n_hard, 'group')} with a wrong answer; the {len(report.hard_groups)} of lowest F1 are below."
    figures = table(
        ("group", "F1", "recall", "precision", "held out", "sentences"),
        [_figures_row(hard) for hard in report.hard_groups],
        caption="Held-out figures",
        numeric=(1, 2, 3, 4, 5),
    )
    answers = [answer for hard in report.hard_groups for answer in hard.answers]
    below = _answers(answers, "Their held-out sentences")
    return Section("hardest", "Hardest groups", element("p", note, class_="soft"), figures, below)


def labels(report: ReportData) -> Section | None:
    """Figures of each label, of a run with several labels a sentence."""
    if not report.labels:
        return None
    rows = [
        (label.name, *_shares(label.f1, label.recall, label.precision), f"{label.n_true:,}", f"{label.n_answered:,}")
        for label in report.labels
    ]
    header = ("label", "F1", "recall", "precision", "held out", "given")
    return Section("labels", "Labels", table(header, rows, caption="Lowest F1 first", numeric=(1, 2, 3, 4, 5)))


def _confusion(confusion: Confusion) -> Html:
    counts = (
        f"{confusion.first_as_second} from {confusion.first} ({count(confusion.first_size, 'sentence')}), "
        f"{confusion.second_as_first} from {confusion.second} ({count(confusion.second_size, 'sentence')}). "
    )
    advice = remedy(confusion)
    return join(
        element("h3", f"{confusion.first} ↔ {confusion.second}: {count(confusion.n, 'time')}"),
        element("p", element("span", counts, class_="soft"), f"{advice[0].upper()}{advice[1:]}."),
        _answers(confusion.examples, "Sentences that cause it"),
    )


def _answers(answers: Sequence[Answer], caption: str) -> Html:
    rows = [
        (
            answer.sentence,
            breakable(answer.group),
            element("span", breakable(answer.answered), class_="wrong" if answer.answered != answer.group else None),
            _near(answer.near_own),
            _near(answer.near_answered) if answer.answered != answer.group else "the same",
        )
        for answer in answers
    ]
    header = ("held-out sentence", "its group", "answered", "nearest of its group", "nearest of the answer")
    return element("div", table(header, rows, caption=caption), class_="answers")


def _near(near: Near | None) -> str:
    return join(near.sentence, " ", element("span", f"{near.score:.2f}", class_="score")) if near else "none"


def _figures_row(hard: HardGroup) -> tuple[str, ...]:
    figures = hard.figures
    shares = _shares(figures.f1, figures.recall, figures.precision)
    return (figures.name, *shares, f"{figures.n_true:,}", f"{hard.size:,}")


def _shares(*values: float) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" for value in values)
