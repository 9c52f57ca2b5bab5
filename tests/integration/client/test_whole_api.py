"""Every method of both clients against a running server, and every route against the clients: neither may drift."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from app.main import bare_app
from samesay import Job
from samesay.answers import SearchResult
from samesay.errors import ConflictError, NotFoundError, PreconditionFailedError
from tests.conftest import add_encoder
from tests.fakes.both_clients import KINDS, Driver, driving, is_json
from tests.fakes.running import Running, make_settings, running, wait_for
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.trainer import FakeTrainer, install
from tests.fakes.vectors import ROUNDING, encoded
from tests.fakes.workers import working

DOCUMENT = json.loads(json.dumps(bare_app().openapi()))
EXEMPT = {
    "livez": "asked by what watches over the server",
    "readyz": "asked by what watches over the server",
    "get_metrics": "asked by Prometheus",
    **dict.fromkeys(("openai_embeddings", "openai_list_models", "openai_get_model"), "for OpenAI's clients"),
    **dict.fromkeys(
        ("tei_embed", "tei_embed_at_root", "tei_similarity", "tei_rerank", "tei_info", "tei_health"),
        "for text-embeddings-inference's clients",
    ),
    **dict.fromkeys(
        ("list_api_keys", "create_api_key", "revoke_api_key", "get_api_key", "rotate_api_key", "list_audit"),
        "an operator's, by `samesay keys`",
    ),
    **dict.fromkeys(
        (
            "list_feedback",
            "list_feedback_clusters",
            "get_feedback",
            "resolve_feedback",
            "resolve_several_feedback",
            "delete_feedback",
            "erase_feedback",
        ),
        "a reviewer's, by `samesay feedback`",
    ),
}
"""Operations that the client leaves to others, and why."""


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/:]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}")))


ROUTES = [
    (method.upper(), _pattern(path), operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


class Witness:
    """Sees every answer, holds it against the document, and remembers whose it was."""

    def __init__(self) -> None:
        self.met: set[str] = set()

    def __call__(self, response: httpx.Response) -> None:
        request = response.request
        (operation,) = (
            operation
            for method, pattern, operation in ROUTES
            if method == request.method and pattern.fullmatch(request.url.path)
        )
        documented = operation["responses"][str(response.status_code)]
        if response.is_success:
            self.met.add(operation["operationId"])
        if is_json(response):
            media_type = response.headers["content-type"]
            schema = {**documented["content"][media_type]["schema"], "components": DOCUMENT["components"]}
            jsonschema.validate(json.loads(response.read()), schema, jsonschema.Draft202012Validator)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A service whose trainings take milliseconds."""
    make_tiny_bundle(tmp_path / "trained", seed=7)
    install(monkeypatch, FakeTrainer(tmp_path / "trained"))
    settings = make_settings(tmp_path / "data", workers=0)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started, working(started):
        yield started


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def driver(kind: str, service: Running, witness: Witness) -> Iterator[Driver]:
    with driving(kind, service.url, on_response=witness) as driven:
        yield driven


def test_every_operation_is_called_by_the_client_or_exempt(
    driver: Driver, witness: Witness, service: Running, tmp_path: Path, tiny_bundle: Path, other_bundle: Path
) -> None:
    add_other = lambda: add_encoder(service.container.settings, other_bundle, "other")  # noqa: E731
    for scenario in (_encoders, _collections, _records, _groups, _asking):
        scenario(driver, tiny_bundle)
    _bulk(driver, tmp_path)
    _releases(driver, add_other)
    if "give_feedback" in {operation["operationId"] for _, _, operation in ROUTES}:
        driver.do(driver.client.collection("faq").feedback.give("where is it", "right_group", group="g1"))
    driver.do(driver.client.collection("faq").delete())
    assert driver.items(driver.client.collections.list()) == []
    documented = {operation["operationId"] for _, _, operation in ROUTES}
    assert not witness.met & EXEMPT.keys()
    assert witness.met | EXEMPT.keys() == documented, "add the operation to the client, or say here why it is not there"


def _encoders(driver: Driver, _: Path) -> None:
    (listed,) = driver.items(driver.client.encoders.list())
    assert driver.do(driver.client.encoders.get("tiny")) == listed
    assert (listed.name, listed.dim, len(listed.sha)) == ("tiny", 32, 64)
    info = driver.do(driver.client.info())
    assert (info.encoders, info.limits.queries) == (1, 256)


def _collections(driver: Driver, _: Path) -> None:
    created = driver.do(driver.client.collections.create("faq", encoder="tiny", description="questions"))
    faq = driver.client.collection("faq")
    assert (created.name, created.encoder_name, created.description) == ("faq", "tiny", "questions")
    with pytest.raises(ConflictError, match="choose another name"):
        driver.do(driver.client.collections.create("faq", encoder="tiny"))
    changed = driver.do(faq.change(description=None, if_match=created.etag))
    assert (changed.description, changed.target_index_recall) == (None, created.target_index_recall)
    with pytest.raises(PreconditionFailedError):
        driver.do(faq.change(description="x", if_match=created.etag))
    wanted: dict[str, Any] = {"keep_queries": "sampled", "keep_queries_share": 0.5, "keep_queries_days": 7}
    wanted |= {"keep_queries_most": 100, "auto_retrain_after": 50, "target_index_recall": 0.95}
    assert driver.do(faq.change(**wanted)).model_dump(include=wanted.keys()) == wanted
    changed = driver.do(faq.change(auto_retrain_after=None))
    assert (changed.auto_retrain_after, changed.keep_queries) == (None, "sampled")
    assert driver.do(faq.get()).etag == changed.etag
    for number in range(4):
        driver.do(driver.client.collections.create(f"c{number}", encoder="tiny"))
    names = ["faq", "c0", "c1", "c2", "c3"]
    assert [one.name for one in driver.items(driver.client.collections.list(page_size=2))] == names
    for number in range(4):
        driver.do(driver.client.collection(f"c{number}").delete())
    with pytest.raises(NotFoundError):
        driver.do(driver.client.collection("c0").get())


def _records(driver: Driver, _: Path) -> None:
    records = driver.client.collection("faq").records
    written = driver.do(
        records.put("a b", "I want my money back", group="g1", metadata={"n": 1}, wait="visible", only_new=True)
    )
    assert (written.id, written.visible, written.truncated) == ("a b", True, False)
    with pytest.raises(PreconditionFailedError):
        driver.do(records.put("a b", "else", only_new=True))
    found = driver.do(records.get("a b"))
    assert (found.text, found.group, found.metadata, found.role) == ("I want my money back", "g1", {"n": 1}, "example")
    drafts = [{"id": f"r{n}", "text": f"text {n}", "labels": ["x"]} for n in range(5)]
    batch = driver.do(records.change(upsert=[*drafts, {"id": "bad", "text": " "}], delete=["no"], wait="visible"))
    assert [item.status for item in batch.items] == [201] * 5 + [422, 404]
    assert [item.code for item in batch.items[5:]] == ["invalid_value", "not_found"]
    listed = driver.items(records.list(page_size=2))
    assert [record.id for record in listed] == ["a b", *(f"r{n}" for n in range(5))]
    assert listed[1].labels == ["x"]
    assert driver.do(records.delete("r0", wait="visible")) is True
    erased = driver.do(records.erase(["r1", "r0"]))
    assert (erased.erased, erased.missing) == (["r1"], ["r0"])


def _groups(driver: Driver, _: Path) -> None:
    groups = driver.client.collection("faq").groups
    put = driver.do(groups.put("g2", title="Refunds", payload={"answer": "yes"}))
    changed = driver.do(groups.change("g2", title=None, if_match=put.etag))
    assert (changed.title, changed.payload) == (None, {"answer": "yes"})
    assert driver.do(groups.get("g2")) == changed
    assert [group.id for group in driver.items(groups.list(page_size=1))] == ["g1", "g2"]
    with pytest.raises(ConflictError):
        driver.do(groups.delete("g1"))
    driver.do(groups.delete("g2", if_match=changed.etag))


def _asking(driver: Driver, tiny_bundle: Path) -> None:
    faq = driver.client.collection("faq")
    texts = ["I want my money back", "text 2", "text 3", "text 4"]
    vectors = encoded(tiny_bundle, ["my money", *texts])
    cosines = sorted((float(vectors[0] @ vector) for vector in vectors[1:]), reverse=True)
    one = driver.do(faq.search("my money", k=3))
    assert isinstance(one, SearchResult)
    assert [hit.score for hit in one.results[0]] == pytest.approx(cosines[:3], abs=ROUNDING)
    assert one.results[0][0].id == "a b"
    many = driver.do(faq.search(["my money", "text 3"], group_by="group", filter={"metadata": {"n": 1}}, min_score=-1))
    assert [[hit.id for hit in hits] for hits in many.results] == [["a b"], ["a b"]]
    decided = driver.do(faq.classify("I want my money back", top_n=1))
    assert (decided.results[0].decision, decided.results[0].groups[0].group) == ("matched", "g1")
    assert len(driver.do(faq.classify(["a", "b"])).results) == 2
    scores = driver.do(driver.client.similarity("my money", texts, encoder="tiny")).scores
    assert scores == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=ROUNDING)


def _bulk(driver: Driver, tmp_path: Path) -> None:
    faq = driver.client.collection("faq")
    rows = ({"id": f"i{n}", "text": f"imported {n}", "group": f"g{n % 3}"} for n in range(50))
    started = driver.do(faq.import_records(rows))
    assert isinstance(started, Job)
    told: list[int] = []
    done = driver.do(started.wait(timeout=60, on_progress=lambda progress: told.append(progress.done)))
    assert done.result["created"] == max(told) == 50
    assert driver.do(faq.classify("imported 4", prior={"g0": 1, "g1": 9})).results[0].groups[0].group == "g1"
    assert [row.id for row in driver.items(done.results())] == [f"i{n}" for n in range(50)]
    assert driver.items(done.events())[-1].state == "succeeded"
    assert [job.id for job in driver.items(driver.client.jobs.list(state="succeeded", page_size=1))] == [done.id]
    assert driver.do(driver.client.jobs.get(done.id)).data == done.data
    with pytest.raises(ConflictError, match="nothing left to cancel"):
        driver.do(done.cancel())
    exported = driver.do(driver.do(faq.export()).wait(timeout=60))
    file = driver.do(exported.download(tmp_path / "faq.ndjson"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["id"] for line in lines if "text" in line} >= {f"i{n}" for n in range(50)}
    again = driver.do(driver.do(faq.import_records(file)).wait(timeout=60))
    assert {row.code for row in driver.items(again.results())} == {"group", "unchanged"}
    for order in (faq.compact, faq.rebuild):
        assert driver.do(driver.do(order()).wait(timeout=60)).state == "succeeded"


def _releases(driver: Driver, add_other: Callable[[], str]) -> None:
    faq = driver.client.collection("faq")
    trained = driver.do(faq.retrain(settings={"epochs": 1}, why="a test", promote="manual"))
    assert trained.data.type == "training"
    driver.do(trained.wait(timeout=60))
    number = trained.result["release"]
    assert [release.number for release in driver.items(faq.releases.list())] == [1, number]
    assert driver.do(faq.releases.report(number)).report["why"] == "a test"
    wait_for(lambda: driver.do(faq.releases.get(number)).warm)
    assert driver.do(faq.releases.shadow(number, share=1)).share == 1
    assert driver.do(faq.releases.get_shadow(number)).release == number
    switched = driver.do(faq.releases.promote(number, why="better"))
    assert (switched.release.number, switched.before) == (number, 1)
    assert driver.do(faq.releases.roll_back(number)).release.number == 1
    assert driver.items(faq.releases.events(page_size=2))[0].action == "rolled_back"
    add_other()
    adopted = driver.do(faq.releases.add("other", promote="manual"))
    with pytest.raises(NotFoundError):
        driver.do(faq.releases.get(99))
    waiting = driver.do(adopted.wait(timeout=60))
    assert waiting.state == "succeeded"
    cancelled = driver.do(faq.retrain())
    try:
        driver.do(cancelled.cancel())
    except ConflictError:  # it was done already
        driver.do(cancelled.refresh())
    assert cancelled.state in ("cancelling", "cancelled", "succeeded")
