"""The routes over a real socket, on both databases: what they answer, and how they refuse."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import add_encoder, make_collection
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running


def test_the_whole_path(service: Running) -> None:
    client, name = service.client, make_collection(service)
    place = f"/v1/collections/{name}"
    first = client.put(f"{place}/records/r1?wait=visible", json={"text": "I want my money back", "group": "refund"})
    assert (first.status_code, first.json()["seq"], first.json()["visible"]) == (201, 1, True)
    batch = {
        "upsert": [
            {"id": "r2", "text": "I cannot log in", "group": "login"},
            {"id": "r3", "text": "我要退款", "group": "refund"},
            {"id": "r4", "text": "what is the weather", "role": "out_of_scope"},
        ],
        "delete": ["r9"],
    }
    items = client.post(f"{place}/records:batch?wait=visible", json=batch).json()["items"]
    assert [(item["id"], item["status"], item["seq"]) for item in items] == [
        ("r2", 201, 2), ("r3", 201, 3), ("r4", 201, 4), ("r9", 404, None),
    ]  # fmt: skip
    found = client.post(f"{place}:search", json={"query": "I want my money back", "k": 10}).json()
    assert found["release"] == 1
    assert found["results"][0][0] == {"id": "r1", "text": "I want my money back", "group": "refund", "score": 1.0}
    assert {one["id"] for one in found["results"][0]} == {"r1", "r2", "r3"}  # r4 is out of scope
    several = client.post(f"{place}:search", json={"queries": ["我要退款", "cannot log in"], "k": 1}).json()
    assert [[one["id"] for one in result] for result in several["results"]] == [["r3"], ["r2"]]
    assert len(set(several["answer_ids"])) == 2
    state = client.get(place).json()
    assert (state["records"], state["groups"], state["last_seq"], state["visible_seq"]) == (4, 2, 4, 4)
    assert (state["index_recall"], state["active_release"], state["dim"]) == (1.0, 1, 32)
    assert client.get(f"{place}/releases").json()["items"][0]["encoder"] == state["encoder"]


def test_classify_and_similarity(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    client.put(f"{place}/records/r1", json={"text": "I want my money back", "group": "refund"})
    client.put(f"{place}/records/r2?wait=visible", json={"text": "I cannot log in", "group": "login"})
    answer = client.post(f"{place}:classify", json={"texts": ["my money back", "qqq xyzzy"], "top_n": 1}).json()
    assert [result["decision"] for result in answer["results"]] == ["matched", "no_match"]
    assert [group["group"] for group in answer["results"][0]["groups"]] == ["refund"]
    assert answer["results"][0]["confidence"] == answer["results"][0]["groups"][0]["confidence"] > 0.5
    body = {"encoder": "tiny", "source": "退款", "targets": ["退款", "something else"]}
    scores = client.post("/v1/similarity", json=body).json()["scores"]
    assert scores[0] == pytest.approx(1.0, abs=1e-6)
    assert scores[1] < 0.9


def test_a_score_that_was_shown_is_enough_as_min_score(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    texts = [f"sentence about {n * 7919 % 101} and {n}" for n in range(100)]
    upserts = [{"id": f"r{n}", "text": text} for n, text in enumerate(texts)]
    client.post(f"{place}/records:batch?wait=visible", json={"upsert": upserts})
    for number, text in enumerate(texts):
        shown = client.post(f"{place}:search", json={"query": text, "k": 5}).json()["results"][0]
        least = shown[2]["score"]
        again = client.post(f"{place}:search", json={"query": text, "k": 5, "min_score": least}).json()["results"][0]
        assert again == [one for one in shown if one["score"] >= least]
        same = client.post(f"{place}:search", json={"query": text, "min_score": 1.0}).json()["results"][0]
        assert f"r{number}" in {one["id"] for one in same}


def test_a_long_text_is_kept_whole_and_cut_for_the_encoder(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    text = "word " * 5000
    assert client.put(f"{place}/records/r1?wait=visible", json={"text": text}).json()["truncated"] is True
    assert client.get(f"{place}/records/r1").json()["text"] == text
    answer = client.post(f"{place}:search", json={"queries": ["word", text]}).json()
    assert (answer["truncated"], answer["truncated_queries"]) == (True, [1])


def test_groups_and_their_records(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    made = client.put(f"{place}/groups/g1", json={"title": "Refunds", "payload": {"answer": [1, None, "x"]}})
    assert (made.status_code, made.headers["etag"]) == (201, f'"{made.json()["etag"]}"')
    again = client.put(f"{place}/groups/g1", json={"title": "Refunds", "payload": {"answer": [1, None, "x"]}})
    assert (again.status_code, again.headers["etag"]) == (200, made.headers["etag"])
    stale = client.patch(f"{place}/groups/g1", json={"title": "T"}, headers={"If-Match": '"7"'})
    assert_problem(stale, 412, "precondition_failed")
    changed = client.patch(f"{place}/groups/g1", json={"title": "T"}, headers={"If-Match": made.headers["etag"]}).json()
    assert (changed["title"], changed["payload"], changed["version"]) == ("T", {"answer": [1, None, "x"]}, 2)
    assert_problem(
        client.put(f"{place}/groups/g1", json={}, headers={"If-None-Match": "*"}), 412, "precondition_failed"
    )
    client.put(f"{place}/records/r1", json={"text": "a", "group": "g1"})
    client.put(f"{place}/records/r2?wait=visible", json={"text": "b", "group": "g2"})
    assert_problem(client.delete(f"{place}/groups/g1"), 409, "group_not_empty")
    assert client.delete(f"{place}/groups/g1?records=detach").status_code == 204
    assert client.delete(f"{place}/groups/g2?records=delete").status_code == 204
    assert client.get(f"{place}/records/r1").json()["group"] is None
    assert_problem(client.get(f"{place}/records/r2"), 404, "not_found")
    client.put(f"{place}/records/r3?wait=visible", json={"text": "c"})
    found = client.post(f"{place}:search", json={"query": "a"}).json()["results"][0]
    assert {one["id"]: one["group"] for one in found} == {"r1": None, "r3": None}


def test_pages_go_through_everything_once(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    upserts = [{"id": f"r{n}", "text": f"t {n}", "group": f"g{n % 7}"} for n in range(25)]
    client.post(f"{place}/records:batch", json={"upsert": upserts})
    for what, size, expected in (
        ("records", 10, [f"r{n}" for n in range(25)]),
        ("groups", 3, [f"g{n}" for n in range(7)]),
    ):
        ids: list[str] = []
        cursor: str | None = None
        while True:
            page = client.get(
                f"{place}/{what}", params={"limit": size, **({"cursor": cursor} if cursor else {})}
            ).json()
            ids += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert ids == expected
    assert_problem(client.get(f"{place}/records?cursor=zzz"), 422, "invalid_value")
    assert_problem(client.get(f"{place}/records?limit=1001"), 422, "invalid_value")


def test_a_collection_is_changed_and_deleted_and_its_name_is_free_again(service: Running) -> None:
    client, name = service.client, make_collection(service)
    place = f"/v1/collections/{name}"
    client.put(f"{place}/records/r1?wait=visible", json={"text": "old"})
    seen = client.get(place).headers["etag"]
    changed = client.patch(place, json={"description": "d"}, headers={"If-Match": seen})
    assert (changed.json()["description"], changed.json()["version"]) == ("d", 2)
    assert changed.headers["etag"] == client.get(place).headers["etag"] != seen
    assert_problem(client.delete(place, headers={"If-Match": seen}), 412, "precondition_failed")
    taken = client.post("/v1/collections", json={"name": name, "encoder": "tiny"})
    assert_problem(taken, 409, "name_taken")
    assert client.delete(place).status_code == 204
    assert_problem(client.post(f"{place}:search", json={"query": "old"}), 404, "not_found")
    assert client.post("/v1/collections", json={"name": name, "encoder": "tiny"}).status_code == 201
    assert client.post(f"{place}:search", json={"query": "old"}).json()["results"] == [[]]
    assert client.put(f"{place}/records/r1?wait=visible", json={"text": "new"}).json()["seq"] == 1


def test_refusals_are_problems_that_say_what_to_do(shared_service: Running, collection: str) -> None:
    client, place = shared_service.client, f"/v1/collections/{collection}"
    assert "lists them" in assert_problem(client.get("/v1/collections/nobody"), 404, "not_found")["detail"]
    assert_problem(client.post("/v1/collections/nobody:search", json={"query": "a"}), 404, "not_found")
    assert_problem(client.put("/v1/collections/nobody/records/r", json={"text": "a"}), 404, "not_found")
    assert_problem(client.get("/nowhere"), 404, "not_found")
    refused = client.delete("/livez")
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD"
    assert_problem(client.post(f"{place}:search", content=b"{"), 400, "malformed_body")
    assert_problem(client.post(f"{place}:search", content=b'{"query": "\xff"}'), 400, "malformed_body")
    blank = assert_problem(client.post(f"{place}:search", json={"query": "  "}), 422, "invalid_value")
    assert blank["errors"] == [{"pointer": "/query", "detail": "is empty or blank: give a sentence"}]
    unknown = client.post("/v1/collections", json={"name": "x", "encoder": "nobody"})
    assert "registered are tiny" in assert_problem(unknown, 422, "invalid_value")["detail"]
    assert_problem(client.post("/v1/collections", json={"name": "Bad Name", "encoder": "tiny"}), 422, "invalid_value")
    assert_problem(client.put(f"{place}/records/a%00b", json={"text": "a"}), 422, "invalid_value")
    assert_problem(client.put(f"{place}/records/{'x' * 257}", json={"text": "a"}), 422, "invalid_value")
    assert_problem(client.post(f"{place}:search", json={"query": "a", "release": 2}), 404, "not_found")
    assert_problem(client.get(f"{place}/releases/2"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/collections/NAME:search", "POST"),
        ("DELETE", "/v1/collections/NAME:classify", "POST"),
        ("GET", "/v1/collections/NAME/records:batch", "POST"),
        ("PUT", "/v1/collections/NAME", "GET, HEAD, PATCH, DELETE"),
        ("PATCH", "/v1/collections/NAME/records/r1", "GET, HEAD, PUT, DELETE"),
        ("OPTIONS", "/v1/collections", "GET, HEAD, POST"),
        ("TRACE", "/v1/similarity", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    shared_service: Running, collection: str, method: str, path: str, allowed: str
) -> None:
    answer = shared_service.client.request(method, path.replace("NAME", collection))
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


def test_a_verb_that_does_not_exist_is_no_collection(shared_service: Running, collection: str) -> None:
    for method in ("GET", "POST"):
        answer = shared_service.client.request(method, f"/v1/collections/{collection}:nothing", json={})
        assert "no such route" in assert_problem(answer, 404, "not_found")["detail"]


def test_head_is_get_without_its_body(shared_service: Running, collection: str) -> None:
    client = shared_service.client
    for path in ("/livez", f"/v1/collections/{collection}", "/v1/collections/nobody", "/openapi.json"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers.get("etag") == get.headers.get("etag")


@pytest.mark.parametrize("key", ["a b", "退款", "😀", "a%2Fb", "a?b#c&d", "e\u0301", "é", "..a", "退" * 256])
def test_an_id_may_be_nearly_anything(service: Running, key: str) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    path = f"{place}/records/{quote(key, safe='')}"
    assert client.put(path, json={"text": "a", "group": key}).json()["id"] == key
    assert client.get(path).json()["group"] == key
    assert client.get(f"{place}/groups/{quote(key, safe='')}").json()["records"] == 1
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("key", "body", "headers"),
    [
        ("r1", {"text": "a", "group": "g"}, {}),
        ("r1", {"text": "a"}, {"If-Match": '"7"'}),
        ("r1", {"text": " "}, {}),
        ("r1", [], {}),
        ("%FF", {"text": "a"}, {}),
    ],
)
def test_a_record_is_stored_alike_by_the_short_and_by_the_long_way(
    service: Running, key: str, body: Any, headers: dict[str, str]
) -> None:
    """What is not just the one parameter goes by way of FastAPI's routing."""
    answers = []
    for query in ("wait=visible", "wait=visible&"):
        path = f"/v1/collections/{make_collection(service)}/records/{key}"
        answer = service.client.put(f"{path}?{query}", json=body, headers=headers)
        own = ("instance", "request_id", "etag")
        content = {name: value for name, value in answer.json().items() if name not in own}
        etag = answer.headers.get("etag")
        assert etag == (f'"{answer.json()["etag"]}"' if answer.is_success else None)
        answers.append((answer.status_code, answer.headers["content-type"], content))
    assert answers[0] == answers[1]


def test_a_record_out_of_scope_with_a_group_is_refused(shared_service: Running, collection: str) -> None:
    client, place = shared_service.client, f"/v1/collections/{collection}"
    pair, stranger = {"text": "a", "group": "g", "role": "out_of_scope"}, {"text": "a", "role": "out_of_scope"}
    problem = assert_problem(client.put(f"{place}/records/r1", json=pair), 422, "invalid_value")
    assert [error["pointer"] for error in problem["errors"]] == ["/role"]
    batch = {"upsert": [{"id": "r1", **pair}, {"id": "r2", **stranger}]}
    items = client.post(f"{place}/records:batch", json=batch).json()["items"]
    assert [(item["status"], "not both" in (item["detail"] or "")) for item in items] == [(422, True), (201, False)]


def test_what_no_path_can_name_is_refused_in_a_batch_too(shared_service: Running, collection: str) -> None:
    client, place = shared_service.client, f"/v1/collections/{collection}/records"
    upserts = [{"id": key, "text": "a"} for key in (".", "..", "a\ufffd", "退" * 257, "fine")]
    items = client.post(f"{place}:batch", json={"upsert": upserts}).json()["items"]
    assert [item["status"] for item in items] == [422, 422, 422, 422, 201]
    assert_problem(client.put(f"{place}/%FF", json={"text": "not UTF-8"}), 422, "invalid_value")


def test_a_payload_is_any_json(service: Running) -> None:
    place = f"/v1/collections/{make_collection(service)}/groups"
    payloads = [5, -2203, 0.5, 2**63 - 1, "5", "0.5", True, None, [1], {}]
    for number, payload in enumerate(payloads):
        put = service.client.put(f"{place}/g{number}", json={"payload": payload})
        for answer in (put, service.client.get(f"{place}/g{number}")):
            found = answer.json()["payload"]
            assert (found, type(found)) == (payload, type(payload)), answer.text
    assert [item["payload"] for item in service.client.get(place).json()["items"]] == payloads


def test_a_payload_becomes_what_was_put_even_where_python_calls_both_equal(service: Running) -> None:
    path = f"/v1/collections/{make_collection(service)}/groups/g"
    payloads = [{"open": 1, "n": [0, 1]}, {"open": True, "n": [False, 1]}, {"open": True, "n": [False, 1.0]}]
    tags = set()
    for version, payload in enumerate(payloads, 1):
        put = service.client.put(path, json={"payload": payload})
        assert put.json()["version"] == version
        tags.add(put.headers["etag"])
        for answer in (put, service.client.get(path), service.client.put(path, json={"payload": payload})):
            assert json.dumps(answer.json()["payload"]) == json.dumps(payload)
            assert answer.json()["version"] == version
    assert len(tags) == len(payloads)
    patched = service.client.patch(path, json={"payload": payloads[0]}).json()
    assert (json.dumps(patched["payload"]), patched["version"]) == (json.dumps(payloads[0]), 4)


def test_a_name_with_a_nul_is_not_the_one_without_it(service: Running) -> None:
    client, name = service.client, make_collection(service)
    place, other = f"/v1/collections/{name}", f"/v1/collections/{name}%00"
    upload = {"content": b'{"text": "a"}', "headers": {"content-type": "application/x-ndjson"}}
    job = client.post(f"{place}/imports", **upload).raise_for_status().json()["id"]  # type: ignore[arg-type]
    for path in (other, "/v1/encoders/tiny%00", f"/v1/jobs/{job}%00", f"/v1/jobs/{job}%00/results"):
        assert_problem(client.get(path), 404, "not_found")
    for path, body in ((f"{other}:search", {"query": "a"}), (f"{other}:compact", None)):
        assert_problem(client.post(path, json=body), 404, "not_found")
    assert_problem(client.put(f"{other}/records/r", json={"text": "a"}), 404, "not_found")
    assert_problem(client.delete(other), 404, "not_found")
    assert client.get(place).status_code == 200


def test_no_encoder_has_a_nul_in_its_name(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    name = "no\0encoder"
    for path in ("/v1/encoders/no%00encoder", "/v1/models/no%00encoder"):
        assert client.get(path).status_code == 404
    for path, body in (
        ("/v1/similarity", {"encoder": name, "source": "a", "targets": ["b"]}),
        ("/v1/embeddings", {"model": name, "input": "a"}),
        ("/v1/collections", {"name": "nul", "encoder": name}),
        (f"{place}/releases", {"encoder": name}),
    ):
        assert client.post(path, json=body).status_code in (404, 422), path


def test_without_an_encoder_the_error_says_how_to_get_one(settings, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from tests.conftest import migrate

    migrate(settings)
    with running(settings) as service:
        answer = service.client.post("/v1/collections", json={"name": "faq", "encoder": "any"})
        detail = assert_problem(answer, 422, "invalid_value")["detail"]
        assert "samesay train" in detail
        assert "samesay encoders add" in detail


def test_with_a_key_everything_but_health_needs_it(tmp_path, tiny_bundle) -> None:  # type: ignore[no-untyped-def]
    with running(make_settings(tmp_path / "data", api_key="the right key")) as service:
        for path in ("/livez", "/readyz", "/openapi.json"):
            assert service.client.get(path).status_code == 200
        for path in ("/v1/info", "/metrics", "/v1/collections", "/nowhere"):
            answer = service.client.get(path)
            assert_problem(answer, 401, "unauthorised")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = service.client.get("/v1/info", headers={"Authorization": "Bearer the wrong key"})
        assert_problem(wrong, 401, "unauthorised")
        for header in ("Bearer the right key", "bearer  the right key"):  # the scheme's case is of no account
            assert service.client.get("/v1/info", headers={"Authorization": header}).status_code == 200
        for header in ("the right key", "Basic the right key", "Bearer", "Bearer \xff"):
            answer = service.client.get("/v1/info", headers={"Authorization": header.encode("latin-1")})
            assert_problem(answer, 401, "unauthorised")
        for path, is_ours in all_paths(service.client.get("/openapi.json").json()).items():
            answer = service.client.request("POST", path, json={})
            if is_ours:
                assert_problem(answer, 401, "unauthorised")
            assert answer.status_code == 401, path


def all_paths(document: Any) -> dict[str, bool]:
    """Every path that needs a key, and whether it is ours and not in the form of another server."""
    found = {}
    for path, methods in document["paths"].items():
        if path not in ("/livez", "/readyz", "/health"):
            ids = [operation["operationId"] for operation in methods.values()]
            found[path.replace("{", "").replace("}", "")] = not ids[0].startswith(("openai_", "tei_"))
    return found


def test_a_dead_thread_makes_the_server_neither_alive_nor_ready(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        assert service.client.get("/livez").json()["status"] == "alive"
        service.container.batcher.stop()
        for path in ("/livez", "/readyz"):
            dead = assert_problem(service.client.get(path), 503, "worker_dead")
            assert "the micro-batcher has died: restart the server" in dead["detail"]


def test_metrics_and_info(shared_service: Running, collection: str) -> None:
    client = shared_service.client
    client.post(f"/v1/collections/{collection}:search", json={"query": "secret words"})
    text = client.get("/metrics").text
    assert 'samesay_requests_total{method="POST",route="/v1/collections/{collection}:search",status="200"}' in text
    assert f'samesay_index_vectors{{collection="{collection}"}} 0.0' in text
    assert "secret" not in text
    info = client.get("/v1/info").json()
    assert info["limits"]["queries"] == 256
    assert info["providers"] == ["CPUExecutionProvider"]
    assert info["index_device"] == "cpu"
