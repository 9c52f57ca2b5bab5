"""The best of each group: what is kept of many neighbours, and whether looking farther may bring more."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from app.search import grouping
from app.search.grouping import Grouping, Reach
from app.serving.catalogue.catalogue import Catalogue, CatalogueView
from app.serving.catalogue.entry import Entry
from app.serving.catalogue.entry_file import EntryFile, EntryWriter, Packed
from app.serving.catalogue.posting_table import collect
from app.serving.catalogue.sidecar import Sidecar, terms_of
from index.types import MISSING_ID

GROUPS = ["a", "退款", None, "b", "a", None, "c", "b"]


def entry(number: int, group: str | None) -> Entry:
    return Entry(f"r{number}", f"text {number}", group, b'{"n": 1}' if number % 2 else b"{}")


@pytest.fixture
def view(tmp_path: Path) -> CatalogueView:
    """Records 10 to 17 in a snapshot; since then 11 went to another group, 12 got one, 13 is gone and 20 came."""
    writer = EntryWriter(tmp_path)
    writer.append(Packed.of([entry(number, group).pack() for number, group in enumerate(GROUPS)]))
    writer.finish()
    writer.close()
    packed = EntryFile(tmp_path).packed(np.arange(len(GROUPS)))
    collect(terms_of(packed)).save(tmp_path)
    catalogue = Catalogue(Sidecar(tmp_path, np.arange(10, 10 + len(GROUPS))))
    return catalogue.apply({11: entry(11, "x"), 12: entry(12, "y"), 20: entry(20, None)}, [13])


def test_groups_are_those_of_the_entries(view: CatalogueView) -> None:
    wanted = [17, 11, 99, 10, 20, 13, 12, 15, MISSING_ID, 14, 16, 10]
    groups = [None if found is None else found.group for found in view.find(wanted)]
    assert view.groups_of(wanted) == groups
    assert groups == ["b", "x", None, "a", None, None, "y", None, None, "a", "c", "a"]
    assert view.groups_of([]) == []
    assert Catalogue(None).view.groups_of([1]) == [None]


def test_the_first_of_each_group_is_kept(view: CatalogueView, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    for n_groups in range(1, 7):
        monkeypatch.setattr(grouping, "_AT_ONCE", draw.choice([1, 2, 3, 1000]))
        record_ids = draw.sample([*range(10, 18), 20], 9)
        scores = [1 - position / 10 for position in range(9)]
        first = dict(reversed([(found.group, found.id) for found in view.find(record_ids) if found and found.group]))
        kept, of_kept, _ = Grouping(n_groups, None).fold(view, record_ids, scores, 9)
        assert of_kept == sorted(of_kept, reverse=True)
        assert [scores[record_ids.index(record_id)] for record_id in kept] == of_kept
        told = {found.group: found.id for found in view.find(kept) if found}
        assert len(told) == len(kept) == min(n_groups, len(first))
        assert told.items() <= first.items()
        assert min(of_kept) >= max(
            (
                score
                for score, found in zip(scores, view.find(record_ids), strict=True)
                if found and found.group and found.group not in told
            ),
            default=-1.0,
        )


@pytest.mark.parametrize(
    ("n_groups", "min_score", "scores", "n_counting", "reach"),
    [
        (2, None, [0.9, 0.8, 0.7], 8, Reach.ENOUGH),  # x and a are there
        (3, None, [0.9, 0.8, 0.7], 8, Reach.FARTHER),
        (3, None, [0.9, 0.8, 0.7], 3, Reach.ENOUGH),  # there is nothing else
        (3, 0.75, [0.9, 0.8, 0.7], 8, Reach.ENOUGH),  # all others are too far
        (3, 0.7, [0.9, 0.8, 0.6999999], 8, Reach.FARTHER),  # as shown, it is not
        (3, None, [0.9, 0.8, -math.inf], 8, Reach.CUT_OFF),
        (3, None, [0.9, 0.8, -math.inf], 2, Reach.ENOUGH),
        (3, 0.85, [0.9, 0.8, -math.inf], 8, Reach.ENOUGH),
        (1, None, [0.9, 0.8, -math.inf], 8, Reach.ENOUGH),
        (1, 0.5, [-math.inf] * 3, 8, Reach.CUT_OFF),
        (1, 0.5, [-math.inf] * 3, 0, Reach.ENOUGH),
        (0, None, [0.9, 0.8, 0.7], 8, Reach.ENOUGH),
    ],
)
def test_whether_there_may_be_more_is_said(
    view: CatalogueView, n_groups: int, min_score: float | None, scores: list[float], n_counting: int, reach: Reach
) -> None:
    record_ids = [
        MISSING_ID if score == -math.inf else record_id for record_id, score in zip([11, 10, 14], scores, strict=True)
    ]
    assert Grouping(n_groups, min_score).fold(view, record_ids, scores, n_counting)[2] is reach
