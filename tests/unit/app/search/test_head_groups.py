"""Which labels of a head are groups with records, while groups come and go over snapshots, against a plain dict."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.search.deciding import Decider
from app.search.head_groups import HeadGroups
from app.serving.catalogue.entry import Entry
from app.serving.catalogue.sidecar import Sidecar
from app.serving.compacting import Compactor
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import ChangedRecords
from app.serving.snapshots.base import empty_base
from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.evidence import EvidenceGatherer
from model.contract.deciding.head import Head

LABELS = tuple(f"g{number}" for number in range(12))


class Collection:
    """A release, and the group of each of its records."""

    def __init__(self, folder: Path) -> None:
        key = ReleaseKey(collection_id=1, collection="faq", release_id=1, number=1, encoder_sha="enc")
        head = Head(LABELS, np.eye(len(LABELS), dtype=np.float32))
        bundle = SimpleNamespace(head=head, gatherer=lambda part, parameters: EvidenceGatherer(part))
        self.release = ServingRelease(key, cast(Any, bundle), DecisionParameters(head_weight=1), empty_base(4), 0.99)
        self.groups: dict[int, str] = {}
        self.compactor = Compactor(folder, encoder_checksum="enc", dim=4, target_recall=0.99)

    def change(self, came: dict[int, str], gone: list[int]) -> None:
        seq = self.release.applied_seq + 1
        entries = {number: Entry(f"r{number}", "text", group) for number, group in came.items()}
        vectors = np.tile(np.eye(4, dtype=np.float32)[:1], (len(came), 1))
        self.release.apply(ChangedRecords(seq, seq, seq, entries, gone), np.array(list(came), np.int64), vectors)
        self.groups = {number: group for number, group in {**self.groups, **came}.items() if number not in gone}

    def compact(self) -> None:
        view = self.release.view
        self.release.rebase(self.compactor.fold(view), view)

    @property
    def expected(self) -> list[int]:
        return [row for row, label in enumerate(LABELS) if label in self.groups.values()]


@pytest.mark.parametrize("seed", range(3))
def test_the_labels_are_those_of_the_groups_that_have_records(seed: int, tmp_path: Path) -> None:
    random, collection, labels = np.random.default_rng(seed), Collection(tmp_path / "snapshots"), HeadGroups(LABELS)
    for step in range(150):
        numbers = random.permutation(20)[: random.integers(1, 4)].tolist()
        collection.change({n: f"g{random.integers(15)}" for n in numbers[1:]}, numbers[:1])
        if step % 20 == 19:
            collection.compact()
        groups = collection.release.view.catalogue.groups
        assert labels.rows(groups).tolist() == collection.expected
        assert sorted(groups) == sorted(set(collection.groups.values()))


def test_a_group_that_comes_costs_no_look_at_every_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 us each, on the event loop: of 100,000 a second, for each group that came or went."""
    collection, decider = Collection(tmp_path / "snapshots"), Decider()
    collection.change({number: f"g{number}" for number in range(6)}, [])
    collection.compact()
    decider._gatherer(collection.release, collection.release.view.catalogue.groups)
    collection.change({6: "unknown to the head"}, [])
    looked_up: list[str] = []
    monkeypatch.setattr(Sidecar, "group_size", lambda _, group: looked_up.append(group) or 1)
    before = decider._gatherer(collection.release, collection.release.view.catalogue.groups)
    collection.change({7: "unknown to the head", 8: "g1"}, [])
    assert looked_up == ["g1"], "by the change"
    after = decider._gatherer(collection.release, collection.release.view.catalogue.groups)
    assert before is after, "nothing of the head is copied"
    assert looked_up == ["g1"]
    assert after.head is not None and after.head.labels == LABELS[:6]
