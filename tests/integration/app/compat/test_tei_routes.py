"""The routes of text-embeddings-inference: which encoder answers, what it answers, and how it refuses."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.encoder.tables import Encoder
from tests.conftest import add_encoder
from tests.fakes.running import Running, make_settings, running
from tests.fakes.vectors import ROUNDING, encoded

TEXTS = ["I want my money back", "我要退款", "where is my parcel?", "my money"]


def assert_error(answer: httpx.Response, status: int, kind: str) -> str:
    """Check that an answer is an error in text-embeddings-inference's form; returns its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, str] = answer.json()
    assert body.keys() == {"error", "error_type"}
    assert body["error_type"] == kind
    return body["error"]


@pytest.mark.parametrize("route", ["/embed", "/"])
@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"truncate": True, "truncation_direction": "Right"}])
def test_embed(shared_service: Running, tiny_bundle: Path, route: str, options: dict[str, Any]) -> None:
    several = shared_service.client.post(route, json={"inputs": TEXTS, **options}).json()
    np.testing.assert_allclose(several, encoded(tiny_bundle, TEXTS), atol=ROUNDING)
    one = shared_service.client.post(route, json={"inputs": TEXTS[0], **options}).json()
    np.testing.assert_allclose(one, encoded(tiny_bundle, TEXTS[:1]), atol=ROUNDING)


def test_similarity(shared_service: Running, tiny_bundle: Path) -> None:
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    scores = shared_service.client.post("/similarity", json=body).json()
    source, *others = encoded(tiny_bundle, TEXTS).astype(np.float64)
    np.testing.assert_allclose(scores, [source @ other for other in others], atol=ROUNDING)
    own = shared_service.client.post(
        "/v1/similarity", json={"encoder": "tiny", "source": TEXTS[0], "targets": TEXTS[1:]}
    ).json()
    np.testing.assert_allclose(scores, own["scores"], atol=ROUNDING)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("with_text", [True, False])
def test_rerank(shared_service: Running, tiny_bundle: Path, raw: bool, with_text: bool) -> None:
    body = {"query": TEXTS[0], "texts": TEXTS[1:], "raw_scores": raw, "return_text": with_text}
    ranks = shared_service.client.post("/rerank", json=body).json()
    source, *others = encoded(tiny_bundle, TEXTS).astype(np.float64)
    cosines = [float(source @ other) for other in others]
    order = sorted(range(len(cosines)), key=lambda index: -cosines[index])
    assert [rank["index"] for rank in ranks] == order
    assert order[0] == 2, "the text that shares words is nearest"
    expected = [cosines[index] if raw else (cosines[index] + 1) / 2 for index in order]
    np.testing.assert_allclose([rank["score"] for rank in ranks], expected, atol=ROUNDING)
    assert [rank.get("text") for rank in ranks] == [TEXTS[1:][index] if with_text else None for index in order]


def test_equal_texts_rank_in_the_order_given(shared_service: Running) -> None:
    for number in range(40):
        texts = [f"my money {number}", f"card {number}", f"a late order {number}"] * 3
        ranks = shared_service.client.post("/rerank", json={"query": "money back", "texts": texts}).json()
        order = [rank["index"] for rank in ranks]
        assert all(order[at : at + 3] == sorted(order[at : at + 3]) for at in (0, 3, 6)), order


def test_info_and_health(shared_service: Running) -> None:
    info = shared_service.client.get("/info").json()
    registered = shared_service.client.get("/v1/encoders/tiny").json()
    assert (info["model_id"], info["model_sha"]) == ("tiny", registered["sha"])
    assert (info["max_input_length"], info["max_client_batch_size"], info["auto_truncate"]) == (16, 2048, True)
    assert "embedding" in info["model_type"]
    answer = shared_service.client.get("/health")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_text_that_must_not_be_cut_is_refused(shared_service: Running) -> None:
    long = {"inputs": ["short", "word " * 17]}
    message = assert_error(shared_service.client.post("/embed", json={**long, "truncate": False}), 413, "Validation")
    assert message.startswith("text 1 is longer than the 16 tokens")
    left = shared_service.client.post("/embed", json={**long, "truncate": True, "truncation_direction": "Left"})
    assert_error(left, 422, "Validation")
    assert shared_service.client.post("/embed", json=long).status_code == 200
    assert shared_service.client.post("/embed", json={"inputs": "short", "truncate": False}).status_code == 200


@pytest.mark.parametrize(
    ("route", "body", "named"),
    [
        ("/rerank", {"query": "x", "texts": ["short", "word " * 17], "truncate": False}, "text 1 is"),
        ("/rerank", {"query": "word " * 17, "texts": ["short"], "truncate": False}, "query is"),
        (
            "/similarity",
            {
                "inputs": {"source_sentence": "x", "sentences": ["word " * 17, "short"]},
                "parameters": {"truncate": False},
            },
            "text 0 is",
        ),
        (
            "/similarity",
            {"inputs": {"source_sentence": "word " * 17, "sentences": ["x"]}, "parameters": {"truncate": False}},
            "source_sentence is",
        ),
    ],
)
def test_the_text_that_is_too_long_is_named_by_its_place_in_the_request(
    shared_service: Running, route: str, body: dict[str, Any], named: str
) -> None:
    answer = shared_service.client.post(route, json=body)
    assert assert_error(answer, 413, "Validation").startswith(f"{named} longer than the 16 tokens")


@pytest.mark.parametrize(
    ("route", "body", "named"),
    [
        ("/embed", {"inputs": ""}, "/inputs/0"),
        ("/embed", {"inputs": ["x"] * 2049}, "/inputs"),
        ("/", {"inputs": [[1, 2]]}, "token ids"),
        ("/embed", {"inputs": "x", "prompt_name": "query"}, "/prompt_name"),
        ("/embed", {"inputs": "x", "dimensions": 8}, "/dimensions"),
        ("/similarity", {"inputs": {"source_sentence": "x", "sentences": []}}, "/inputs/sentences"),
        ("/similarity", {"inputs": "x"}, "/inputs"),
        ("/rerank", {"query": "x"}, "/texts"),
    ],
)
def test_a_wrong_value_is_named(shared_service: Running, route: str, body: dict[str, Any], named: str) -> None:
    assert named in assert_error(shared_service.client.post(route, json=body), 422, "Validation")


def test_errors_of_every_layer_have_its_form(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", api_key="a key of this test", max_body_bytes=1024)
    add_encoder(settings, tiny_bundle)
    with running(settings, headers={"Authorization": "Bearer a key of this test"}) as service:
        assert_error(service.client.get("/embed"), 405, "Validation")
        assert_error(service.client.post("/embed", content=b"{"), 400, "Validation")
        assert_error(service.client.post("/", json={"inputs": "x" * 2000}), 413, "Validation")
        assert_error(httpx.post(f"{service.url}/embed", json={"inputs": "x"}), 401, "Unauthorized")
        assert httpx.get(f"{service.url}/health").status_code == 200, "needs no key"
        service.container.batcher._queued = settings.max_queued_sentences  # as if so many waited
        answer = service.client.post("/embed", json={"inputs": "x"})
        assert_error(answer, 429, "Overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        service.container.batcher._queued = 0
        service.container.batcher.stop()
        assert_error(service.client.get("/health"), 503, "Unhealthy")


def test_the_encoder_is_the_one_that_is_set_else_the_first(
    tmp_path: Path, tiny_bundle: Path, other_bundle: Path
) -> None:
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, other_bundle, "zeta")
    add_encoder(settings, tiny_bundle, "alpha")
    for named, expected, bundle in ((None, "zeta", other_bundle), ("alpha", "alpha", tiny_bundle)):
        with running(make_settings(tmp_path / "data", compat_encoder=named)) as service:
            assert service.client.get("/info").json()["model_id"] == expected
            vectors = service.client.post("/embed", json={"inputs": TEXTS}).json()
            np.testing.assert_allclose(vectors, encoded(bundle, TEXTS), atol=ROUNDING)


def test_an_encoder_that_is_removed_answers_no_more(tmp_path: Path, tiny_bundle: Path, other_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data")
    sha = add_encoder(settings, tiny_bundle, "first")
    add_encoder(settings, other_bundle, "second")
    with running(settings) as service:
        assert service.client.post("/embed", json={"inputs": TEXTS}).status_code == 200

        def remove(session: Session) -> None:
            session.get_one(Encoder, sha).removed_at = datetime.now(UTC)

        service.container.database.write(remove).result()
        service.container.services.encoders.remove_unneeded()
        assert service.client.get("/info").json()["model_id"] == "second"
        vectors = service.client.post("/embed", json={"inputs": TEXTS}).json()
        np.testing.assert_allclose(vectors, encoded(other_bundle, TEXTS), atol=ROUNDING)
        gone = service.client.post("/v1/embeddings", json={"model": "first", "input": "x"})
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")


def test_without_an_encoder_the_error_says_what_to_do(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", compat_encoder="beta")
    add_encoder(settings, tiny_bundle, "alpha")
    with running(settings) as service:
        message = assert_error(service.client.post("/embed", json={"inputs": "x"}), 503, "Unhealthy")
        assert "SAMESAY_COMPAT_ENCODER is 'beta'" in message
    with running(make_settings(tmp_path / "empty")) as service:
        message = assert_error(service.client.get("/info"), 503, "Unhealthy")
        assert "samesay encoders add" in message
