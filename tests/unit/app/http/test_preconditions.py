"""If-Match and If-None-Match: what holds on which tag."""

import pytest

from app.errors import PreconditionFailedError
from app.http.preconditions import Precondition


@pytest.mark.parametrize(
    ("precondition", "tag", "holds"),
    [
        (Precondition(), None, True),
        (Precondition(), "7-3-a", True),
        (Precondition(tags=frozenset({"7-3-a"})), "7-3-a", True),
        (Precondition(tags=frozenset({"7-2-a"})), "7-3-a", False),
        (Precondition(tags=frozenset({"6-3-a"})), "7-3-a", False),
        (Precondition(tags=frozenset({"7-3-b"})), "7-3-a", False),
        (Precondition(tags=frozenset({"7-3-a"})), None, False),
        (Precondition(exists=True), "7-1-a", True),
        (Precondition(exists=True), None, False),
        (Precondition(absent=True), None, True),
        (Precondition(absent=True), "7-1-a", False),
    ],
)
def test_preconditions(precondition: Precondition, tag: str | None, holds: bool) -> None:
    if holds:
        precondition.check(tag, what="it")
        return
    with pytest.raises(PreconditionFailedError):
        precondition.check(tag, what="it")
