"""Which releases answer: a deleted collection never comes back, whatever the follower was doing meanwhile."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from app.search.deciding import Decider
from app.search.lookup import Found
from app.serving.catalogue.entry import Entry
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import ChangedRecords
from app.serving.roster import Roster
from app.serving.snapshots.base import empty_base
from model.contract.bundle import load_bundle
from model.contract.deciding.decision import Decision, DecisionParameters


def release_of(collection_id: int, name: str) -> ServingRelease:
    key = ReleaseKey(collection_id=collection_id, collection=name, release_id=1, number=1, encoder_sha="f")
    return ServingRelease(key, cast(Any, None), DecisionParameters(), empty_base(4), 0.99)


def test_what_is_deleted_while_it_is_loaded_never_answers() -> None:
    roster, old, new = Roster(), release_of(1, "faq"), release_of(2, "faq")
    roster.keep_only({1})
    roster.forget(1)  # deleted, while the follower loads it
    roster.put(old)
    assert (roster.find("faq"), roster.find_by_id(1)) == (None, None)
    roster.keep_only({1})  # read before the deletion was committed
    roster.put(old)
    assert roster.find("faq") is None
    roster.keep_only({2})  # the name was taken again
    roster.put(new)
    assert roster.find("faq") is roster.find_by_id(2) is new
    assert roster.releases == [new]


def test_a_collection_that_another_server_deleted_gives_its_name_free() -> None:
    roster, old, new = Roster(), release_of(1, "faq"), release_of(2, "faq")
    roster.put(old)
    roster.keep_only({2})
    assert roster.find("faq") is None
    roster.put(new)
    assert roster.find("faq") is new


@pytest.mark.parametrize("groups", [("refund",), ("refund", "login")])
def test_a_release_that_is_loaded_again_is_decided_by_its_own_groups(
    tiny_bundle: Path, groups: tuple[str, ...]
) -> None:
    """Both loads have release_id 1 and a catalogue whose groups have not changed since: only identity tells them."""
    bundle, decider = load_bundle(tiny_bundle), Decider()
    key = ReleaseKey(collection_id=1, collection="faq", release_id=1, number=1, encoder_sha=bundle.sha)

    def load(names: tuple[str, ...]) -> ServingRelease:
        release = ServingRelease(key, bundle, DecisionParameters(head_weight=0.5), empty_base(32), 0.99)
        entries = {number: Entry(f"r{number}", name, name) for number, name in enumerate(names)}
        release.apply(ChangedRecords(1, 1, 7, entries, []), np.arange(len(names)), bundle.encoder.encode(names))
        return release

    def decide(release: ServingRelease) -> Decision:
        found = Found(bundle.encoder.encode(["login"]), [False], [1], [[]], [[]], release.view)
        return next(decider.decide(release, ["login"], found))

    decide(load(("refund",)))
    decision = decide(load(groups))
    assert {group.group for group in decision.groups} == set(groups)
