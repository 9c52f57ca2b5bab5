"""`samesay backup` and `samesay restore`: beside a running server, across databases, without room, and killed."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import add_encoder, postgres_settings
from tests.fakes.answers import ask, assert_same
from tests.fakes.backups import read_all, write_backup
from tests.fakes.filled import fill_by_sql
from tests.fakes.postgres import create_database
from tests.fakes.running import Running, make_settings, running, wait_for
from tests.fakes.spawned import command, peak_bytes, samesay, spawned
from tests.fakes.writers import Writer, read_stored

PLACE = "/v1/collections/faq"
QUERIES = ["sentence 3 of the start", "sentence 30 after the backup", "new sentence 6"]

MOST_GROWTH_BYTES = 40_000_000
"""Of the peak memory, from 20,000 records to 200,000: their rows take 65 MB as lines, far more as objects."""

SEED = random.randrange(10**6)


@pytest.fixture
def data(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A data folder with a collection and its snapshots, as a stopped server left it."""
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    with running(make_settings(data)) as service:
        service.client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        change(service, "of the start", 120)
    return data


def change(service: Running, branch: str, n: int) -> None:
    """Make n changes that leave the same ids behind, whatever the branch, with other texts."""
    upserts = [
        {"id": f"r{number}", "text": f"sentence {number} {branch}", "group": f"g{number % 7}"} for number in range(n)
    ]
    answer = service.client.post(f"{PLACE}/records:batch?wait=visible", json={"upsert": upserts})
    assert answer.json()["visible"] is True


def done(*arguments: str, **environment: str) -> str:
    """What a command printed that must succeed."""
    ended = samesay(*arguments, timeout=120, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def refused(*arguments: str, **environment: str) -> str:
    """What a command said that must fail; always in a line, without a traceback."""
    ended = samesay(*arguments, timeout=120, **environment)
    assert ended.returncode == 1, ended.stdout
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: ")
    return ended.stderr


def test_a_backup_beside_a_running_server_is_restored_with_the_same_answers(tmp_path: Path, data: Path) -> None:
    file, target = tmp_path / "backup.tar", tmp_path / "restored"
    with spawned(data) as server, server.client() as client:
        expected = ask(client, "faq", QUERIES)
        said = done("backup", str(file), "--data", str(data))
        assert re.fullmatch(
            r"\S+backup.tar: [\d,]+ rows of \d+ tables and 1 encoders, [\d.]+ MB, [\d.]+ s, [\d,]+ rows/s\n", said
        )
        assert client.get("/readyz").status_code == 200
    assert "is there already" in refused("backup", str(file), "--data", str(data))
    link = tmp_path / "latest.tar"
    link.symlink_to(file)
    done("backup", str(link), "--force", "--data", str(data))
    assert link.is_symlink(), "it is the file behind it that is written anew"
    restored = samesay("restore", str(file), "--data", str(target))
    assert (restored.returncode, restored.stdout.startswith(f"{file} is restored: ")) == (0, True), restored.stderr
    assert "records: 120\n" in restored.stderr
    assert not (target / "collections").exists()
    with spawned(target) as server, server.client() as client:
        assert_same(ask(client, "faq", QUERIES), expected)
    (sha,) = [path.name for path in (data / "encoders").iterdir()]
    for path in (data / "encoders" / sha).iterdir():
        assert (target / "encoders" / sha / path.name).read_bytes() == path.read_bytes()
    assert f"{target} is in use already (samesay.db, " in refused("restore", str(file), "--data", str(target))


def test_what_is_acknowledged_before_a_backup_is_in_it(tmp_path: Path, data: Path) -> None:
    """Writers go on; whatever they had an answer to when the backup began is there, and each write whole."""
    file = tmp_path / "backup.tar"
    with spawned(data) as server, server.client() as client:
        client.post(f"{PLACE}/records:batch", json={"delete": [f"r{n}" for n in range(120)]}).raise_for_status()
        writers = [Writer(f"w{number}-", random.Random(f"{SEED} {number}")) for number in range(3)]
        threads = [threading.Thread(target=writer.write_until_it_dies, args=(server.url,)) for writer in writers]
        for thread in threads:
            thread.start()
        wait_for(lambda: all(writer.acknowledged > 20 for writer in writers))
        before = client.get(PLACE).json()["last_seq"]
        done("backup", str(file), "--data", str(data))
        after = client.get(PLACE).json()["last_seq"]
        server.process.kill()
        for thread in threads:
            thread.join(20)
    done("restore", str(file), "--data", str(tmp_path / "restored"))
    with spawned(tmp_path / "restored") as server, server.client() as client:
        state = client.get(PLACE).json()
        assert before <= state["last_seq"] <= after
        assert before < after
        assert len(read_stored(client)) == state["records"]  # it asserts that each is whole


@pytest.mark.parametrize("n_after", [90, 120, 200])
def test_snapshots_of_the_folder_that_went_on_are_not_believed(n_after: int, tmp_path: Path, data: Path) -> None:
    """Someone puts them beside the restored database, which has the same id, and perhaps as many changes by then."""
    done("backup", str(tmp_path / "backup.tar"), "--data", str(data))
    with running(make_settings(data)) as service:
        change(service, "after the backup", 120)
    target = tmp_path / "restored"
    done("restore", str(tmp_path / "backup.tar"), "--data", str(target))
    with running(make_settings(target)) as service:
        change(service, "after the restore", n_after)
        expected = ask(service.client, "faq", QUERIES)
    shutil.rmtree(target / "collections")
    shutil.copytree(data / "collections", target / "collections")
    assert (target / "database").read_bytes() == (data / "database").read_bytes()
    with running(make_settings(target)) as service:
        assert_same(ask(service.client, "faq", QUERIES), expected)


def test_a_team_moves_from_sqlite_to_postgres_and_back(tmp_path: Path, data: Path, postgres: str) -> None:
    url = create_database(postgres, "moved")
    with running(make_settings(data)) as service:
        expected = ask(service.client, "faq", QUERIES)
    done("backup", str(tmp_path / "sqlite.tar"), "--data", str(data))
    new = str(tmp_path / "new")
    done("restore", str(tmp_path / "sqlite.tar"), "--data", new, SAMESAY_DATABASE_URL=url)
    said = refused("restore", str(tmp_path / "sqlite.tar"), "--data", new, SAMESAY_DATABASE_URL=url)
    assert re.search(r"not empty \(.*changes: 120, .*records: 120", said)
    with spawned(Path(new), SAMESAY_DATABASE_URL=url) as server, server.client() as client:
        assert_same(ask(client, "faq", QUERIES), expected)
        client.put(f"{PLACE}/records/after?wait=visible", json={"text": "after the move"}).raise_for_status()
        assert client.get(PLACE).json()["last_seq"] == 121
        expected = ask(client, "faq", QUERIES)
        done("backup", str(tmp_path / "postgres.tar"), "--data", new, SAMESAY_DATABASE_URL=url)
    done("restore", str(tmp_path / "postgres.tar"), "--data", str(tmp_path / "back"))
    with running(make_settings(tmp_path / "back")) as service:
        assert_same(ask(service.client, "faq", QUERIES), expected)


def test_errors_name_the_remedy(tmp_path: Path, data: Path) -> None:
    said = refused("backup", str(tmp_path / "x.tar"), "--data", str(tmp_path / "nowhere"))
    assert "holds no samesay.db: give the --data folder" in said
    assert not (tmp_path / "nowhere").exists()
    assert "is no folder: make it" in refused("backup", str(tmp_path / "no" / "x.tar"), "--data", str(data))
    assert "is there already" in refused("backup", str(tmp_path), "--force", "--data", str(data))
    assert "cannot be read" in refused("restore", str(tmp_path / "no.tar"), "--data", str(tmp_path / "empty"))
    assert "samesay backup" in refused("restore", str(data / "samesay.db"), "--data", str(tmp_path / "empty"))
    assert not (tmp_path / "empty").exists()
    with spawned(data):
        done("backup", str(tmp_path / "x.tar"), "--data", str(data))
        assert "is held by another server" in refused("restore", str(tmp_path / "x.tar"), "--data", str(data))


@pytest.fixture
def many(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A data folder with enough records that a backup can be met in its middle."""
    fill_by_sql(tmp_path / "many", tiny_bundle, 30_000)
    return tmp_path / "many"


def test_without_room_nothing_half_is_left(tmp_path: Path, many: Path) -> None:
    file, target = tmp_path / "backup.tar", tmp_path / "restored"
    limit = (1_000_000, resource.RLIM_INFINITY)  # the database has 10 MB, its backup 3
    arguments = ("backup", str(file), "--data", str(many))
    ended = samesay(*arguments, file_size_limit=limit)
    assert (ended.returncode, "free space" in ended.stderr) == (1, True), ended.stderr
    assert f"{file}.part: " in ended.stderr.replace("\n", "")
    assert "Traceback" not in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many"]
    done(*arguments)
    before = file.read_bytes()
    ended = samesay(*arguments, "--force", file_size_limit=limit)
    assert (ended.returncode, file.read_bytes() == before) == (1, True), "the backup before stays"
    ended = samesay("restore", str(file), "--data", str(target), file_size_limit=limit)
    assert (ended.returncode, "free space" in ended.stderr) == (1, True), ended.stderr
    assert "Traceback" not in ended.stderr
    assert [path.name for path in target.iterdir()] == ["lock"]
    done("restore", str(file), "--data", str(target))
    assert read_all(make_settings(target)) == read_all(make_settings(many))


def kill_in_the_middle(arguments: list[str], began: Callable[[], bool], delay_s: float, **environment: str) -> bool:
    """Start a command and kill it so long after it began; whether it had not ended yet."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    wait_for(lambda: began() or process.poll() is not None)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    return process.wait(20) == -signal.SIGKILL


def test_a_backup_that_is_killed_leaves_none(tmp_path: Path, many: Path) -> None:
    print(f"seed {SEED}")
    file, part, chance = tmp_path / "backup.tar", tmp_path / "backup.tar.part", random.Random(SEED)
    arguments = ["backup", str(file), "--data", str(many)]
    for _ in range(4):
        if kill_in_the_middle(arguments, part.exists, chance.uniform(0, 0.3)) and part.exists():
            assert not file.exists()
            said = refused("restore", str(part), "--data", str(tmp_path / "restored"))
            assert "is cut off" in said or "is no backup" in said  # that is, nothing is in it yet
        else:  # it was faster
            file.unlink()
    done(*arguments)
    assert not part.exists()
    done("restore", str(file), "--data", str(tmp_path / "restored"))
    assert read_all(make_settings(tmp_path / "restored")) == read_all(make_settings(many))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_restore_that_is_killed_leaves_none(
    kind: str, tmp_path: Path, many: Path, request: pytest.FixtureRequest
) -> None:
    print(f"seed {SEED}")
    file, target, chance = tmp_path / "backup.tar", tmp_path / "restored", random.Random(SEED)
    write_backup(make_settings(many), file)
    settings, environment = make_settings(target), {}
    if kind == "postgresql":
        settings = postgres_settings(request.getfixturevalue("postgres"), target)
        assert settings.database_url is not None
        environment = {"SAMESAY_DATABASE_URL": settings.database_url.get_secret_value()}
    arguments = ["restore", str(file), "--data", str(target)]
    scratch = target / ".restore"
    for _ in range(4):
        shutil.rmtree(scratch, ignore_errors=True)
        if not kill_in_the_middle(arguments, scratch.exists, chance.uniform(0, 0.5), **environment):
            break  # it was faster
    ended = samesay(*arguments, **environment)
    if ended.returncode:  # what is there was restored, perhaps by one that was killed afterwards
        assert re.search("is not empty|is in use already", ended.stderr), ended.stderr
    else:
        assert not scratch.exists()
    assert read_all(settings) == read_all(make_settings(many))


def test_memory_does_not_grow_with_the_records(tmp_path: Path, tiny_bundle: Path) -> None:
    peaks: dict[str, list[int]] = {"backup": [], "restore": []}
    for n in (20_000, 200_000):
        data, file = tmp_path / f"data{n}", tmp_path / f"{n}.tar"
        fill_by_sql(data, tiny_bundle, n)
        peaks["backup"].append(peak_bytes("backup", str(file), "--data", str(data)))
        peaks["restore"].append(peak_bytes("restore", str(file), "--data", str(tmp_path / f"restored{n}")))
    print(peaks)
    for few, many in peaks.values():
        assert many - few < MOST_GROWTH_BYTES, peaks
