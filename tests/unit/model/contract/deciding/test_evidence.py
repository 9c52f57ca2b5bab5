"""What is gathered for a decision, against naive sums and sorts."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from model.contract.deciding.evidence import Evidence, EvidenceGatherer, Likeness, Neighbour, best_by_group
from model.contract.deciding.head import Head
from model.contract.deciding.prior import Prior
from model.contract.deciding.word_overlap import WordOverlap
from model.contract.text import TextConfig, TextContract

LABELS = tuple(f"g{number}" for number in range(15))
COSINES = np.linspace(0.9, 0.2, 15).astype(np.float32)


def head(scale: float | None = None, prior: list[float] | None = None) -> Head:
    """Class vectors that are the axes, so that an embedding's cosines are its coordinates."""
    return Head(LABELS, np.eye(15, dtype=np.float32), scale, None if prior is None else np.array(prior, np.float32))


def near(**scores: float) -> list[Neighbour]:
    """A record of each group, whose text is the group's name."""
    return [Neighbour(group, group, score) for group, score in scores.items()]


def test_best_by_group_ignores_records_without_a_group() -> None:
    assert best_by_group(["a", None, "b", "a"], [0.5, 0.9, 0.4, 0.7]) == {"a": 0.7, "b": 0.4}


def test_the_head_puts_forward_its_best_and_the_neighbours_groups() -> None:
    gatherer = EvidenceGatherer(head(), with_energy=False)
    found = gatherer.gather("", COSINES, near(g14=0.5, unknown=0.4, g3=0.3))
    assert found.neighbour_scores == {"g14": 0.5, "unknown": 0.4, "g3": 0.3}
    assert found.head_cosines == pytest.approx({label: float(COSINES[LABELS.index(label)]) for label in
                                                [*LABELS[:10], "g14"]})  # fmt: skip
    assert (found.head_rest, found.head_scale, found.head_leans) == (-math.inf, None, {})


def test_a_head_of_few_labels_or_of_none() -> None:
    few = EvidenceGatherer(head().keep([2, 0]), with_energy=True)
    assert few.gather("", COSINES[[2, 0]], near(g1=0.1)).head_cosines == pytest.approx(
        {"g2": float(COSINES[2]), "g0": float(COSINES[0])}
    )
    none = EvidenceGatherer(head(30.0, [1 / 15] * 15).keep([]), with_energy=True)
    assert none.gather("", COSINES[:0], near(g1=0.1)) == Evidence(
        neighbour_scores={"g1": 0.1}, newcomers=frozenset(["g1"]), head_scale=30.0
    )
    assert EvidenceGatherer(None, with_energy=True).gather("", None, near(g1=0.1)) == Evidence(
        neighbour_scores={"g1": 0.1}, newcomers=frozenset(["g1"])
    )


@pytest.mark.parametrize("scale", [1.0, 30.0, 64.0])
def test_the_energy_is_over_all_labels(scale: float) -> None:
    found = EvidenceGatherer(head(scale), with_energy=True).gather("", COSINES, near(g14=0.5))
    assert found.energy() == pytest.approx(logsumexp(scale * COSINES.astype(np.float64)) / scale, abs=1e-9)


def test_the_energy_without_a_group_is_that_of_the_others() -> None:
    """Exact even where the group had nearly all of it, and nothing was left of the others by a subtraction."""
    cosines = np.array([1.0, *[0.01] * 14], np.float32)
    found = EvidenceGatherer(head(64.0), with_energy=True).gather("", cosines, [])
    others = found.only(lambda group: group != "g0").energy()
    assert others == pytest.approx(logsumexp(64 * cosines[1:].astype(np.float64)) / 64, abs=1e-9)


def test_leans_are_the_log_of_the_training_shares() -> None:
    shares = [0.3, *[0.05] * 14]
    leans = head(20.0, shares).leans()
    assert leans is not None
    np.testing.assert_allclose(leans, np.log(np.array(shares) * 15) / 20, rtol=1e-5)
    found = EvidenceGatherer(head(20.0, shares), with_energy=False).gather("", COSINES, [])
    assert found.head_leans["g0"] == pytest.approx(math.log(4.5) / 20, abs=1e-6)
    assert head(20.0).leans() is None


def test_shifts_put_forward_what_they_lift_and_keep_out_what_never_occurs() -> None:
    prior = Prior.of({"g14": 1000, "g0": 0, "g1": 1})
    gatherer = EvidenceGatherer(head(5.0), with_energy=True)
    shifts = gatherer.shifts(prior, 5.0, tau=1.0)
    assert shifts == pytest.approx(np.array([-np.inf, *[0.0] * 13, math.log(1000) / 5]))
    found = gatherer.gather("", COSINES, near(g0=0.9), shifts)
    assert set(found.head_cosines) == {*LABELS[1:11], "g14"}  # g14: 0.2 + ln(1000) / 5
    assert found.head_cosines["g14"] == pytest.approx(0.2)
    assert found.energy() == pytest.approx(logsumexp(5 * COSINES[1:].astype(np.float64)) / 5, abs=1e-9)


def test_post_hoc_adjustment_puts_rare_groups_forward() -> None:
    """The twelfth group of the ranking is so rare that without its lean it is among the first."""
    shares = [0.08] * 11 + [0.0001] + [0.039] * 3
    gatherer = EvidenceGatherer(head(10.0, shares), with_energy=False)
    assert "g11" not in gatherer.gather("", COSINES, []).head_cosines
    shifts = gatherer.shifts(None, 1.0, tau=1.0)
    assert shifts == pytest.approx(-np.log(np.array(shares) * 15 / sum(shares)) / 10, abs=1e-5)
    assert "g11" in gatherer.gather("", COSINES, [], shifts).head_cosines
    assert gatherer.shifts(None, 1.0, tau=0.0) is None


WORDS = WordOverlap(TextContract(TextConfig(), ("g1", "new")), np.array([9, 4, 0], np.uint32))


def test_words_are_looked_at_where_a_neighbour_is_newer_than_the_training() -> None:
    gatherer = EvidenceGatherer(head().keep([0]), learnt={"g0", "g1"}, words=WORDS)
    neighbours = [*near(g1=0.5, new=0.4), Neighbour(None, "new", 0.3), Neighbour("g1", "new g1", 0.2)]
    found = gatherer.gather("new", COSINES[:1], neighbours)
    known, unknown = math.log(10 / 5) + 1, math.log(10) + 1
    assert found.newcomers == {"new"}
    assert found.likenesses == (
        Likeness("g1", 0.5, 0.0),
        Likeness("new", 0.4, pytest.approx(1.0)),
        Likeness("g1", 0.2, pytest.approx(unknown / math.hypot(known, unknown))),
    )
    assert found.likeness_by_group(0.5) == pytest.approx({"g1": 0.1 + found.likenesses[2].overlap / 2, "new": 0.7})
    assert found.likeness_by_group(0.0) == pytest.approx({"g1": 0.5, "new": 0.4}) == found.neighbour_scores
    kept = found.only(lambda group: group != "new")
    assert (kept.newcomers, [each.group for each in kept.likenesses]) == (frozenset(), ["g1", "g1"])
    learnt = gatherer.gather("new", COSINES[:1], near(g1=0.5))
    assert (learnt.newcomers, learnt.likenesses) == (frozenset(), ())
    told = EvidenceGatherer(head(), words=WORDS, with_likenesses=True).gather("new", COSINES, near(g1=0.5))
    assert (told.newcomers, told.likenesses) == (frozenset(), (Likeness("g1", 0.5, 0.0),))


def test_of_a_text_that_says_nothing_the_same_text_alone_is_near() -> None:
    gatherer = EvidenceGatherer(head(), knows=lambda text: False, words=WORDS)
    neighbours = [Neighbour("a", "Qq ", 1.0), Neighbour("b", "zz", 1.0), Neighbour("c", "qq", 0.5)]
    found = gatherer.gather("qq", COSINES, neighbours)
    assert (found.neighbour_scores, found.head_cosines, found.newcomers) == ({"a": 1.0}, {}, {"a"})
    assert found.likeness_by_group(0.5) == {"a": 1.0}, "it is the same text, whatever its words are"
