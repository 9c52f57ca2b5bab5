"""An ETag names one content of one thing: what is deleted and made anew, or restored from a backup, has others."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import add_encoder, make_collection
from tests.fakes.backups import restore_backup, write_backup
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running

Place = tuple[str, dict[str, Any], dict[str, Any]]
"""A path, what is put there first, and what later."""


def places(name: str) -> list[Place]:
    collection = f"/v1/collections/{name}"
    return [
        (f"{collection}/records/a", {"text": "first"}, {"text": "another"}),
        (f"{collection}/groups/g", {"title": "first"}, {"title": "another"}),
    ]


def seen(answer: httpx.Response) -> dict[str, str]:
    """The header of a change of what was seen in this answer."""
    assert answer.is_success, answer.text
    return {"If-Match": answer.headers["etag"]}


@pytest.mark.parametrize("kind", [0, 1], ids=["record", "group"])
@pytest.mark.parametrize("same", [True, False], ids=["same-content", "other-content"])
def test_what_is_put_again_after_its_deletion_is_another(service: Running, kind: int, same: bool) -> None:
    client = service.client
    path, first, later = places(make_collection(service))[kind]
    stale = seen(client.put(path, json=first))
    assert client.delete(path).status_code == 204
    assert_problem(client.put(path, json=later, headers=stale), 412, "precondition_failed")
    made_anew = client.put(path, json=first if same else later)
    assert made_anew.status_code == 201
    for answer in (client.put(path, json={**first, **later}, headers=stale), client.delete(path, headers=stale)):
        assert_problem(answer, 412, "precondition_failed")
    assert seen(client.get(path)) == seen(made_anew), "nothing has changed"
    assert client.delete(path, headers=seen(made_anew)).status_code == 204


def test_a_group_made_anew_is_not_changed_by_who_saw_the_old_one(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    stale = seen(client.put(f"{place}/groups/g", json={}))
    client.delete(f"{place}/groups/g")
    client.put(f"{place}/records/r", json={"text": "a", "group": "g"})  # makes the group, in passing
    assert_problem(client.patch(f"{place}/groups/g", json={"title": "T"}, headers=stale), 412, "precondition_failed")
    now = seen(client.get(f"{place}/groups/g"))
    assert client.patch(f"{place}/groups/g", json={"title": "T"}, headers=now).json()["title"] == "T"


def test_a_collection_made_anew_is_kept_from_who_saw_the_old_one(service: Running) -> None:
    client, name = service.client, make_collection(service)
    path = f"/v1/collections/{name}"
    stale = seen(client.get(path))
    inside = [(place, later, seen(client.put(place, json=first))) for place, first, later in places(name)]
    assert client.delete(path, headers=stale).status_code == 204
    made_anew = client.post("/v1/collections", json={"name": name, "encoder": "tiny"})
    assert_problem(client.patch(path, json={"description": "d"}, headers=stale), 412, "precondition_failed")
    assert_problem(client.delete(path, headers=stale), 412, "precondition_failed")
    for place, later, before in inside:
        assert client.put(place, json=later).status_code == 201
        assert_problem(client.put(place, json={**later, **_other(later)}, headers=before), 412, "precondition_failed")
    assert client.delete(path, headers=seen(made_anew)).status_code == 204


def test_every_answer_tells_the_same_etag_until_there_is_a_change(service: Running) -> None:
    client, name = service.client, make_collection(service)
    collection = f"/v1/collections/{name}"
    for path, first, later in places(name):
        put = client.put(path, json=first)
        (listed,) = client.get(path.rpartition("/")[0]).json()["items"]
        same = client.put(path, json=first, headers=seen(put))
        tags = [answer.json()["etag"] for answer in (put, same, client.get(path))]
        assert {*tags, listed["etag"], put.headers["etag"].strip('"')} == {tags[0]}
        changed = client.put(path, json=later, headers={"If-Match": f'"x", W/"{tags[0]}"'})  # as a proxy may say it
        assert seen(changed) == seen(client.get(path)) != seen(put)
        back = client.put(path, json=first, headers=seen(changed))
        assert back.json()["etag"] not in (tags[0], changed.json()["etag"])
    (listed,) = (item for item in client.get("/v1/collections").json()["items"] if item["name"] == name)
    assert seen(client.get(collection)) == {"If-Match": f'"{listed["etag"]}"'}


def test_a_change_that_a_restored_backup_does_not_know_is_not_taken_for_one_made_since(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    """Both are the second version of the same row."""
    settings, file = make_settings(tmp_path / "before"), tmp_path / "backup.tar"
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        name = make_collection(service)
        collection = f"/v1/collections/{name}"
        for path, first, _ in places(name):
            service.client.put(path, json=first)
        write_backup(settings, file)
        stale = [
            (path, seen(service.client.put(path, json=later)), service.client.get(path).json()["version"])
            for path, _, later in places(name)
        ]
        stale.append((f"{collection}/records/new", *_detached(service, collection, "one")))
        stale.append((collection, seen(service.client.patch(collection, json={"description": "one"})), 2))
    restored = make_settings(tmp_path / "after")
    restore_backup(file, restored)
    with running(restored) as service:
        for path, _, later in places(name):
            service.client.put(path, json=_other(later))
        _detached(service, collection, "two")
        service.client.patch(collection, json={"description": "two"})
        for path, before, version in stale:
            assert service.client.get(path).json()["version"] == version
            assert_problem(service.client.delete(path, headers=before), 412, "precondition_failed")


def _other(content: dict[str, Any]) -> dict[str, Any]:
    return {field: f"{value}, but different" for field, value in content.items()}


def _detached(service: Running, collection: str, text: str) -> tuple[dict[str, str], int]:
    """The ETag and the version of a new record after its group was deleted."""
    record, group = f"{collection}/records/new", f"{collection}/groups/for-a-while"
    assert service.client.put(record, json={"text": text, "group": "for-a-while"}).status_code == 201
    assert service.client.delete(group, params={"records": "detach"}).status_code == 204
    answer = service.client.get(record)
    return seen(answer), answer.json()["version"]
