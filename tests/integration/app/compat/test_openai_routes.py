"""OpenAI's routes: vectors, counts and errors, as its API has them."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import add_encoder
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running
from tests.fakes.vectors import ROUNDING, encoded, n_tokens

TEXTS = ["I want my money back", "我要退款", "where is my parcel?", "a" * 150, "one two three"]
KEY = "a key of this test"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    """A service that wants a key and takes small bodies only."""
    settings = make_settings(tmp_path_factory.mktemp("guarded") / "data", api_key=KEY, max_body_bytes=2048)
    add_encoder(settings, tiny_bundle)
    with running(settings, headers={"Authorization": f"Bearer {KEY}"}) as started:
        yield started


def embed(service: Running, **body: Any) -> httpx.Response:
    return service.client.post("/v1/embeddings", json={"model": "tiny", **body})


def assert_error(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Check that an answer is an error in OpenAI's form; returns its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    error: dict[str, str] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert answer.headers["x-request-id"]
    return error["message"]


def test_vectors_are_the_encoders_own(shared_service: Running, tiny_bundle: Path) -> None:
    answer = embed(shared_service, input=TEXTS).json()
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    assert [(one["object"], one["index"]) for one in answer["data"]] == [("embedding", n) for n in range(len(TEXTS))]
    vectors = np.array([one["embedding"] for one in answer["data"]], np.float32)
    np.testing.assert_allclose(vectors, encoded(tiny_bundle, TEXTS), atol=ROUNDING)
    counted = n_tokens(tiny_bundle, TEXTS)
    assert answer["usage"] == {"prompt_tokens": counted, "total_tokens": counted}
    assert counted > len(TEXTS)


def test_base64_holds_the_very_same_floats(shared_service: Running) -> None:
    as_numbers = embed(shared_service, input=TEXTS).json()["data"]
    as_text = embed(shared_service, input=TEXTS, encoding_format="base64").json()["data"]
    for number, text in zip(as_numbers, as_text, strict=True):
        unpacked = np.frombuffer(base64.b64decode(text["embedding"]), "<f4")
        assert np.array_equal(unpacked, np.array(number["embedding"], np.float32))


def test_one_text_and_many(shared_service: Running, tiny_bundle: Path) -> None:
    (one,) = embed(shared_service, input=TEXTS[0]).json()["data"]
    np.testing.assert_allclose(one["embedding"], encoded(tiny_bundle, TEXTS[:1])[0], atol=ROUNDING)
    many = [f"question number {number}" for number in range(2048)]
    found = embed(shared_service, input=many).json()["data"]
    for position in (0, 255, 256, 2047):  # the edges of the pieces in which they are encoded
        expected = encoded(tiny_bundle, [many[position]])[0]
        np.testing.assert_allclose(found[position]["embedding"], expected, atol=ROUNDING)
    assert_error(embed(shared_service, input=[*many, "one more"]), 400, "invalid_value", "input")


def test_cut_texts_are_named(shared_service: Running) -> None:
    answer = embed(shared_service, input=["short", "word " * 17, "word " * 16]).json()
    assert answer["truncated"] == [1]
    assert answer["usage"]["total_tokens"] == 1 + 16 + 16
    assert "truncated" not in embed(shared_service, input="short").json()


def test_a_model_goes_by_name_and_by_sha(shared_service: Running) -> None:
    (listed,) = shared_service.client.get("/v1/models").json()["data"]
    registered = shared_service.client.get("/v1/encoders/tiny").json()
    assert (listed["id"], listed["object"], listed["owned_by"]) == ("tiny", "model", "samesay")
    assert (listed["sha"], listed["dim"]) == (registered["sha"], 32)
    assert shared_service.client.get("/v1/models/tiny").json() == listed
    assert shared_service.client.get(f"/v1/models/{registered['sha']}").json() == listed
    by_sha = embed(shared_service, input=TEXTS, model=registered["sha"]).json()
    assert by_sha["data"] == embed(shared_service, input=TEXTS).json()["data"]


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]], [[], [1]]])
def test_token_ids_are_refused_with_the_way_out(shared_service: Running, tokens: Any) -> None:
    message = assert_error(embed(shared_service, input=tokens), 400, "invalid_value", "input")
    assert "check_embedding_ctx_length=False" in message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": ["fine", "  "]}, "input"),
        ({"input": []}, "input"),
        ({"input": {"text": "x"}}, "input"),
        ({}, "input"),
        ({"input": "x", "model": None}, "model"),
        ({"input": "x", "dimensions": 16}, "dimensions"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_a_wrong_value_is_named(shared_service: Running, body: dict[str, Any], param: str) -> None:
    assert_error(embed(shared_service, **body), 400, "invalid_value", param)


def test_the_encoders_own_dimensions_and_unknown_fields_are_taken(shared_service: Running) -> None:
    assert embed(shared_service, input="x", dimensions=32, user="someone", else_=1).status_code == 200


def test_fields_that_clients_send_as_null_are_as_if_left_out(shared_service: Running) -> None:
    sent = embed(shared_service, input="x", encoding_format=None, dimensions=None, user=None)
    assert sent.status_code == 200, sent.text
    assert sent.json()["data"] == embed(shared_service, input="x").json()["data"]


def test_errors_of_every_layer_have_openais_form(shared_service: Running, guarded: Running) -> None:
    message = assert_error(embed(shared_service, input="x", model="gpt"), 404, "model_not_found")
    assert "registered are tiny" in message
    assert_error(shared_service.client.get("/v1/models/gpt"), 404, "model_not_found")
    assert_error(shared_service.client.get("/v1/embeddings"), 405, "method_not_allowed")
    assert_error(shared_service.client.post("/v1/embeddings", content=b"{"), 400, "malformed_body")
    assert_error(embed(guarded, input="x" * 3000), 413, "body_too_large")
    refused = httpx.post(f"{guarded.url}/v1/embeddings", json={"model": "tiny", "input": "x"})
    assert_error(refused, 401, "invalid_api_key")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert embed(guarded, input="x").status_code == 200


def test_a_full_queue_is_503_with_a_time_to_come_back(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", max_queued_sentences=300)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        service.container.batcher._queued = 300  # as if so many waited
        answer = embed(service, input=["x", "y"])
        assert_error(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        service.container.batcher._queued = 0
        assert embed(service, input=["x", "y"]).status_code == 200


def test_other_routes_keep_their_problems(shared_service: Running) -> None:
    assert_problem(shared_service.client.get("/v1/encoders/gpt"), 404, "not_found")
    page = shared_service.client.put("/")
    assert_problem(page, 405, "method_not_allowed")
    assert page.headers["allow"] == "GET, HEAD, POST"
