"""`samesay collections`: one is shown, changed and deleted as the HTTP interface would."""

import json

from tests.conftest import make_collection
from tests.fakes.running import Running, wait_for
from tests.fakes.spawned import samesay


def test_show_and_change(shared_service: Running) -> None:
    client, name = shared_service.client, make_collection(shared_service)

    def run(*arguments: str) -> str:
        done = samesay("collections", *arguments, SAMESAY_URL=shared_service.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    wait_for(lambda: client.get(f"/v1/collections/{name}").json()["index"])  # until then a moment changes the answer
    assert json.loads(run("show", name)) == client.get(f"/v1/collections/{name}").json()
    said = run(
        *("change", name, "--keep-queries", "sampled", "--keep-queries-share", "0.5", "--description", "questions"),
        *("--auto-retrain-after", "9"),
    )
    assert said == "description: questions\nkeep_queries: sampled\nkeep_queries_share: 0.5\nauto_retrain_after: 9\n"
    state = client.get(f"/v1/collections/{name}").json()
    assert (state["keep_queries"], state["keep_queries_share"], state["keep_queries_days"]) == ("sampled", 0.5, 30)
    assert (state["description"], state["auto_retrain_after"]) == ("questions", 9)
    run("change", name, "--description", "", "--auto-retrain-after", "0")
    state = client.get(f"/v1/collections/{name}").json()
    assert (state["description"], state["auto_retrain_after"], state["keep_queries"]) == (None, None, "sampled")


def test_what_cannot_be_changed_is_named(shared_service: Running) -> None:
    name = make_collection(shared_service)
    before = shared_service.client.get(f"/v1/collections/{name}").json()["version"]
    for arguments, said in (
        ((), "give an option, such as --keep-queries unmatched"),
        (("--keep-queries", "all"), "'off', 'unmatched' or 'sampled'"),
        (("--target-index-recall", "2"), "target_index_recall"),
    ):
        refused = samesay("collections", "change", name, *arguments, SAMESAY_URL=shared_service.url)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
    assert shared_service.client.get(f"/v1/collections/{name}").json()["version"] == before


def test_delete_asks_first(shared_service: Running) -> None:
    client, name = shared_service.client, make_collection(shared_service)
    client.put(f"/v1/collections/{name}/records/a", json={"text": "one"})
    asked = samesay("collections", "delete", name, SAMESAY_URL=shared_service.url)  # nobody is there to answer
    assert asked.returncode == 1
    assert f"Delete {name} with its 1 records for good?" in asked.stderr
    assert client.get(f"/v1/collections/{name}").status_code == 200
    done = samesay("collections", "delete", name, "--yes", SAMESAY_URL=shared_service.url)
    assert (done.returncode, done.stdout) == (0, f"collection {name} and its 1 records are gone\n")
    assert client.get(f"/v1/collections/{name}").status_code == 404
    again = samesay("collections", "delete", name, "--yes", SAMESAY_URL=shared_service.url)
    assert (again.returncode, "there is no collection" in again.stderr) == (1, True)
