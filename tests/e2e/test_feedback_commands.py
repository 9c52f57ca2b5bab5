"""`samesay feedback`: what a person who reviews sees and does."""

import json

from tests.conftest import make_collection
from tests.fakes.running import Running
from tests.fakes.spawned import samesay


def test_list_queue_accept_and_reject(shared_service: Running) -> None:
    client, name = shared_service.client, make_collection(shared_service)
    place = f"/v1/collections/{name}"
    client.put(f"{place}/records/r1?wait=visible", json={"text": "I want my money back", "group": "refund"})

    def give(text: str, verdict: str = "wrong_answer", **fields: str) -> str:
        answer = client.post(f"{place}/feedback", json={"text": text, "verdict": verdict, **fields})
        return str(answer.raise_for_status().json()["id"])

    def run(*arguments: str) -> str:
        done = samesay("feedback", *arguments, SAMESAY_URL=shared_service.url, COLUMNS="220")
        assert done.returncode == 0, done.stderr
        return done.stdout

    weather = [give("tell me [bold]the weather[/]"), give("the weather\nnow")]
    named, odd = give("my money, back", "right_group", group="refund"), give("xyzzy plugh")

    queue = run("queue", name)
    assert "tell me [bold]the weather[/]" in queue, "a text is no markup"
    assert "add_to_group refund" in queue
    assert "4 items wait" in queue
    clusters = json.loads(run("queue", name, "--json"))["clusters"]
    assert sorted([item["id"] for item in found["items"]] for found in clusters) == sorted(
        [sorted(weather, reverse=True), [named], [odd]]
    )

    assert run("accept", name, *weather, "--group", "weather").startswith("2 accepted, 2 of them as new records")
    assert run("accept", name, named).startswith("1 accepted, 1 of them as new records")
    assert run("reject", name, odd) == "1 rejected\n"
    assert odd not in run("list", name)
    listed = run("list", name, "--state", "all")
    assert all(key in listed for key in (*weather, named, odd))
    found = json.loads(run("list", name, "--state", "accepted", "--limit", "2", "--json"))
    assert [item["id"] for item in found] == weather
    assert all(item["group"] == "weather" for item in found)
    groups = {group["id"]: group["records"] for group in client.get(f"{place}/groups").json()["items"]}
    assert groups == {"refund": 2, "weather": 2}


def test_what_cannot_be_resolved_is_named(shared_service: Running) -> None:
    name = make_collection(shared_service)
    keys = ["0" * 32, "1" * 32, "2" * 32, "3" * 32]
    failed = samesay("feedback", "accept", name, *keys, "--out-of-scope", SAMESAY_URL=shared_service.url)
    assert failed.returncode == 1
    assert failed.stdout.startswith("0 accepted")
    assert f"no feedback '{keys[0]}'" in failed.stderr
    assert "and 1 more" in failed.stderr
