"""Neighbours as they are answered."""

import numpy as np

from app.search.answers import neighbours
from app.serving.catalogue.catalogue import Catalogue
from app.serving.catalogue.entry import Entry
from index.types import MISSING_ID


def test_answers_leave_out_what_is_gone_or_too_far() -> None:
    catalogue = Catalogue(None).apply({1: Entry("a", "A", "x"), 2: Entry("b", "B", "x"), 3: Entry("c", "C", None)}, [])
    found = neighbours(catalogue, [1, 77, 3, 2, MISSING_ID], [0.9, 0.8, 0.7, 0.61234567, -np.inf], 0.1)
    assert [(one["id"], one["score"]) for one in found] == [("a", 0.9), ("c", 0.7), ("b", 0.612346)]
    assert [one["id"] for one in neighbours(catalogue, [1, 2], [0.9, 0.5], 0.6)] == ["a"]
