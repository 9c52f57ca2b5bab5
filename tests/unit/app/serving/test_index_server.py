"""SAMESAY_INDEX_SERVER: what may be set, no start without the client, and what on the server is whose."""

import dataclasses
import gc
import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from structlog.testing import capture_logs

from app import container
from app.errors import NoIndexServerError
from app.search.lookup import Lookup
from app.serving import index_server as module
from app.serving.index_server import IndexServer
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.snapshots.base import Base, empty_base
from app.serving.snapshots.spool import BuildOrder, ServerOrder
from app.settings import Settings
from app.worker import work
from index.backends.milvus.base import MilvusBase
from index.backends.milvus.releases import build_collection
from index.errors import IndexServerAwayError
from index.milvus_kinds import MilvusKind, MilvusSpec
from model.contract.deciding.decision import DecisionParameters
from tests.fakes.plain_milvus import ADDRESS, PlainMilvus
from tests.fakes.running import make_settings

DATABASE = "ab" * 32
PREFIX = "samesay_abababababababab_"


def test_by_default_all_is_kept_here_and_kinds_are_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings().index_server, Settings().index_server_kind) == (None, MilvusKind.IVF_FLAT)
    monkeypatch.setenv("SAMESAY_INDEX_SERVER", "https://milvus.example.org:19530")
    monkeypatch.setenv("SAMESAY_INDEX_SERVER_KIND", "gpu_cagra")
    assert Settings().index_server_kind is MilvusKind.GPU_CAGRA
    monkeypatch.setenv("SAMESAY_INDEX_SERVER_KIND", "tree")
    with pytest.raises(ValueError, match="'FLAT', 'IVF_FLAT', 'IVF_SQ8', 'HNSW', 'GPU_IVF_FLAT' or 'GPU_CAGRA'"):
        Settings()


@pytest.mark.parametrize("address", ["milvus:19530", "grpc://milvus:19530", "http://", "http://a:b:c", "http://h/path"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of an index server: give http://HOST:PORT"):
        Settings(index_server=address)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="SAMESAY_INDEX_SERVER_TOKEN") as refused:
        Settings(index_server="http://root:hush-hush@milvus:19530")
    assert "hush" not in refused.value.errors(include_input=False)[0]["msg"]


def test_a_device_of_this_machine_and_a_server_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="set one of them"):
        Settings(index_server=ADDRESS, index_device="gpu")


def test_a_server_does_not_start_without_the_client_of_the_index_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    settings = make_settings(tmp_path / "data", index_server=ADDRESS)
    with pytest.raises(NoIndexServerError, match=r"SAMESAY_INDEX_SERVER is http.*pip install 'samesay\[milvus\]'"):
        container.build(settings)
    with pytest.raises(NoIndexServerError):
        work(settings, embedded=False)
    assert not settings.data.exists(), "nothing was touched"


def test_workers_of_the_server_know_of_it(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, index_server=ADDRESS, index_server_kind="hnsw", index_server_token="root:secret", workers=1
    )
    environments = [pool.processes._environment for pool in container.worker_pools(settings)]
    assert environments
    for given in environments:
        read = {name: given[f"SAMESAY_{name}"] for name in ("INDEX_SERVER", "INDEX_SERVER_KIND", "INDEX_SERVER_TOKEN")}
        assert read == {"INDEX_SERVER": ADDRESS, "INDEX_SERVER_KIND": "HNSW", "INDEX_SERVER_TOKEN": "root:secret"}


def test_an_order_says_what_it_said_when_it_is_read_again() -> None:
    order = BuildOrder(
        snapshots="s", encoder_checksum="e", dim=3, applied_seq=1, known_seq=2, tag=3, target_recall=0.9, base="b"
    )
    server = ServerOrder(address=ADDRESS, kind=MilvusKind.HNSW, collection="c")
    for one in (order, dataclasses.replace(order, server=server)):
        assert BuildOrder.parse(json.dumps(dataclasses.asdict(one))) == one


class Place:
    """A data folder, and an index server as one of its servers knows it."""

    def __init__(self, data: Path, *, is_shared: bool = False) -> None:
        self.data, self.milvus = data, PlainMilvus()
        self.server = IndexServer(self.milvus, MilvusKind.FLAT, DATABASE, data, is_shared=is_shared)
        (data / "database").write_text(DATABASE + "\n")

    def create(self, *numbers: str) -> list[str]:
        for number in numbers:
            self.milvus.create(PREFIX + number, 3, "made")
        return [PREFIX + number for number in numbers]

    def name(self, path: str, collection: str | None) -> None:
        """Have a file name a collection, as manifests and orders do."""
        file = self.data / path
        file.parent.mkdir(parents=True)
        if file.name == "order.json":
            content: dict[str, Any] = {"server": None if collection is None else {"collection": collection}}
        else:
            content = {} if collection is None else {"collection": collection}
        file.write_text(json.dumps(content))

    @property
    def left(self) -> list[str]:
        return list(self.milvus.collections)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_snapshots_and_builds_name_is_needed_and_nothing_else(place: Place) -> None:
    names = place.create("1_saved", "1_before", "2_draft", "2_rebuilt", "3_trained", "3_training", "4_nobodys")
    snapshots = "collections/1/releases/1/snapshots"
    place.name(f"{snapshots}/00000000000000000009/manifest.json", names[0])
    place.name(f"{snapshots}/00000000000000000007/manifest.json", names[1])
    place.name(f"{snapshots}/00000000000000000008/manifest.json", None)
    place.name("collections/2/releases/5/snapshots/.tmp-spool-x/order.json", names[2])
    place.name("collections/2/releases/5/snapshots/.tmp-spool-y/order.json", None)
    place.name("collections/2/releases/5/snapshots/.tmp-rebuilt-z/00000000000000000003/manifest.json", names[3])
    place.name("jobs/key/snapshots/00000000000000000003/manifest.json", names[4])
    place.name("jobs/other/snapshots/.tmp-spool-x/order.json", names[5])
    place.milvus.create("samesay_another_1_theirs", 3, "theirs")
    place.milvus.create("somebody_elses", 3, "theirs")
    (place.data / "collections/2/releases/5/snapshots/.tmp-spool-x/manifest.json").write_text("{damaged")
    place.server.sweep(at_once=True)
    assert place.left == [*names[:6], "samesay_another_1_theirs", "somebody_elses"]


def test_what_a_search_here_looks_through_stays_until_it_is_done(place: Place) -> None:
    vectors = np.eye(3, dtype=np.float32)
    spec = MilvusSpec(kind=MilvusKind.FLAT)
    name = PREFIX + "1_used"
    index = build_collection(place.milvus, name, [1, 2, 3], vectors, spec, encoder_checksum="e", applied_seq=1)
    base = MilvusBase(index, np.array([1, 2, 3]))
    del index
    place.server.sweep(at_once=True)
    assert (place.left, place.server.is_due([]), place.server.purge([])) == ([name], False, False)
    del base
    gc.collect()
    assert (place.server.purge([]), place.left) == (True, [])


def test_where_others_share_the_folder_they_get_time_to_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, now = Place(tmp_path, is_shared=True), [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    (name,) = place.create("1_replaced")
    place.server.tidy([])
    assert place.left == [name]
    now[0] += module.AGAIN_S
    assert place.server.is_due([])
    place.name("collections/1/releases/1/snapshots/1/manifest.json", name)  # needed again: it starts anew
    place.server.tidy([])
    (tmp_path / "collections/1/releases/1/snapshots/1/manifest.json").unlink()
    now[0] += module.GRACE_S - 1
    place.server.tidy([])
    now[0] += 2
    place.server.tidy([])
    assert place.left == [name]
    now[0] += module.GRACE_S
    place.server.tidy([])
    assert place.left == []


def test_a_folder_that_is_not_there_needs_everything(place: Place) -> None:
    names = place.create("1_a")
    (place.data / "database").unlink()  # a volume that is not mounted
    place.server.sweep(at_once=True)
    (place.data / "database").write_text("another\n")
    place.server.sweep(at_once=True)
    assert place.left == names


def release_over(place: Place, collection_id: int, name: str) -> ServingRelease:
    spec = MilvusSpec(kind=MilvusKind.FLAT)
    index = build_collection(
        place.milvus, name, [1], np.eye(1, 3, dtype=np.float32), spec, encoder_checksum="e", applied_seq=1
    )
    key = ReleaseKey(collection_id=collection_id, collection="c", release_id=1, number=1, encoder_sha="e")
    base = Base(
        index=MilvusBase(index, np.array([1])), sidecar=None, applied_seq=1, known_seq=1, tag=0, folder=place.data
    )
    return ServingRelease(key, cast(Any, None), DecisionParameters(), base, 0.9)


def test_the_alias_means_what_answers_and_a_failure_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    before, after = (release_over(place, 7, f"{PREFIX}7_{token}") for token in ("before", "after"))
    assert place.server.is_due([before])
    place.server.tidy([before])
    assert place.milvus.aliases == {f"{PREFIX}7": f"{PREFIX}7_before"}
    assert not place.server.is_due([before])
    assert place.server.is_due([after])
    place.milvus.is_away = True
    with capture_logs() as logs:
        place.server.tidy([after])
    assert [event["event"] for event in logs] == ["index_server_not_tidied"]
    place.milvus.is_away = False
    assert not place.server.is_due([after]), "each look would be a line in the log"
    now[0] += module.REST_S
    assert place.server.is_due([after])
    place.server.tidy([after])
    assert place.milvus.aliases == {f"{PREFIX}7": f"{PREFIX}7_after"}


def test_who_needs_the_server_asks_before_an_hour_of_work(place: Place) -> None:
    place.server.require()
    place.milvus.is_away = True
    with pytest.raises(IndexServerAwayError, match=ADDRESS):
        place.server.require()


def test_no_search_of_a_server_is_done_on_the_event_loop(place: Place) -> None:
    remote = release_over(place, 7, f"{PREFIX}7_x")
    local = ServingRelease(remote.key, cast(Any, None), DecisionParameters(), empty_base(3), 0.9)
    bundle = cast(Any, type("Bundle", (), {"manifest": type("Manifest", (), {"max_tokens": 64})}))
    kinds = [Lookup(bundle, ["a short question"], release, 5).kind for release in (remote, local)]
    assert kinds == [None, (id(bundle), id(local))]
