"""Snapshots that time, a bad disk or a helping hand has changed: never another answer, and the log says why."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.conftest import add_encoder
from tests.fakes.answers import Answers, ask, assert_same
from tests.fakes.running import Running, make_settings, running

N = 300
COLLECTIONS = ("faq", "twin", "third", "fourth", "fifth", "sixth")
"""Several, so that one start tells of the damage to as many files."""

QUERIES = [f"sentence {n} {n * 7919 % 6007}" for n in range(0, N, 10)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> tuple[Path, list[Answers]]:
    """A data folder with two collections of two snapshots each, and the answers that it gives."""
    data = tmp_path_factory.mktemp("whole") / "data"
    add_encoder(make_settings(data), tiny_bundle)
    for life in range(2):
        with running(make_settings(data)) as service:
            for name in COLLECTIONS:
                if life == 0:
                    service.client.post("/v1/collections", json={"name": name, "encoder": "tiny"}).raise_for_status()
                fill(service, name, life)
            answers = answers_of(service)
    assert len(snapshots(data)) == 2 * len(COLLECTIONS)
    return data, answers


@pytest.fixture
def data(whole: tuple[Path, list[Answers]], tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(whole[0], tmp_path / "data"))


@pytest.fixture
def expected(whole: tuple[Path, list[Answers]]) -> list[Answers]:
    """What it must answer, whatever happens to it."""
    return whole[1]


def fill(service: Running, name: str, life: int) -> None:
    """In the second life half of the records change, some go, and some come."""
    upserts = [
        {"id": f"r{n}", "text": f"{name} sentence {n} {n * 7919 % 6007} {life}", "group": f"g{n % 20}"}
        for n in range(life * N // 2, N + life * 20)
    ]
    body = {"upsert": upserts, "delete": [f"r{n}" for n in range(life * 20)]}
    answer = service.client.post(f"/v1/collections/{name}/records:batch?wait=visible", json=body)
    assert answer.json()["visible"] is True


def answers_of(service: Running) -> list[Answers]:
    """What every collection answers."""
    return [ask(service.client, name, QUERIES) for name in COLLECTIONS]


def snapshots(data: Path, collection: str = "*") -> list[Path]:
    """Folders of the snapshots, oldest first."""
    return sorted(data.glob(f"collections/{collection}/releases/*/snapshots/[0-9]*"))


def newest(data: Path) -> list[Path]:
    """The newest snapshot of each collection."""
    return [snapshots(data, str(number))[-1] for number in range(1, len(COLLECTIONS) + 1)]


def flip_a_bit(at: float) -> Callable[[Path], None]:
    """Change a bit: 0 is the first byte, 1 the last."""

    def flip(file: Path) -> None:
        raw = bytearray(file.read_bytes())
        raw[round(at * (len(raw) - 1))] ^= 1 << random.Random(len(raw)).randrange(8)
        file.write_bytes(raw)

    return flip


def cut(file: Path) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) * 2 // 3])


def lengthen(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"\0")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def make_a_folder_of_it(file: Path) -> None:
    file.unlink()
    file.mkdir()


HARMS = {
    "first byte": flip_a_bit(0),
    "a third in": flip_a_bit(1 / 3),
    "two thirds in": flip_a_bit(2 / 3),
    "last byte": flip_a_bit(1),
    "cut": cut,
    "longer": lengthen,
    "empty": empty,
    "gone": Path.unlink,
    "a folder": make_a_folder_of_it,
}


def check(data: Path, expected: list[Answers], what: object) -> list[Any]:
    """It starts and answers as before; returns what it logged."""
    with capture_logs() as logs, running(make_settings(data)) as service:
        for found, of_before in zip(answers_of(service), expected, strict=True):
            assert_same(found, of_before, what)
        assert service.client.get("/readyz").json() == {"status": "ready", "failing": 0}, what
    return logs


def reasons(logs: list[Any]) -> dict[str, str]:
    """Why each snapshot was thrown away, by its folder."""
    return {event["folder"]: event["reason"] for event in logs if event["event"] == "snapshot_thrown_away"}


def files_of(snapshot: Path) -> Iterator[str]:
    return (str(file.relative_to(snapshot)) for file in sorted(snapshot.rglob("*")) if file.is_file())


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_file_is_never_believed(harm: str, data: Path, expected: list[Answers], tmp_path: Path) -> None:
    names = list(files_of(newest(data)[0]))
    assert len(names) >= 3
    for start in range(0, len(names), len(COLLECTIONS)):
        damaged = Path(shutil.copytree(data, tmp_path / f"from {start}"))
        harmed = [
            snapshot / name
            for snapshot, name in zip(newest(damaged), names[start:], strict=False)
            if can_be_harmed(harm, snapshot / name)
        ]
        for file in harmed:
            HARMS[harm](file)
        thrown_away = reasons(check(damaged, expected, harmed))
        assert sorted(thrown_away) == sorted(str(file.parent) for file in harmed), harmed
        assert all(thrown_away.values())


def can_be_harmed(harm: str, file: Path) -> bool:
    """A file without a byte has none to lose."""
    return harm in ("gone", "a folder", "longer") or file.stat().st_size > 0


def test_with_every_snapshot_damaged_it_is_rebuilt_from_the_database(data: Path, expected: list[Answers]) -> None:
    damaged = snapshots(data)
    for number, snapshot in enumerate(damaged):
        names = list(files_of(snapshot))
        HARMS["two thirds in"](snapshot / names[number % len(names)])
    logs = check(data, expected, "all")
    assert len(reasons(logs)) == len(damaged) == 2 * len(COLLECTIONS)
    assert {event["source"] for event in logs if event["event"] == "release_loaded"} == {"database"}


def test_without_any_snapshot_it_is_rebuilt_from_the_database(data: Path, expected: list[Answers]) -> None:
    shutil.rmtree(data / "collections")
    assert reasons(check(data, expected, "none")) == {}


@pytest.mark.parametrize("n_files", [0, 1, 2, 100])
def test_a_half_written_snapshot_is_ignored_and_removed(n_files: int, data: Path, expected: list[Answers]) -> None:
    for snapshot in newest(data):
        half = snapshot.parent / f".tmp-{int(snapshot.name) + 1:020d}-0123"
        half.mkdir()
        for name in list(files_of(snapshot))[:n_files]:
            (half / name).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(snapshot / name, half / name)
    assert reasons(check(data, expected, n_files)) == {}
    assert list(data.glob("collections/*/releases/*/snapshots/.tmp-*")) == []


@pytest.mark.parametrize("as_its_own", [True, False])
def test_the_snapshot_of_another_collection_is_never_believed(
    as_its_own: bool, data: Path, expected: list[Answers]
) -> None:
    """Both have the same encoder, as many records and the same sequence numbers."""
    faq, twin, *_ = newest(data)
    assert faq.name == twin.name
    if as_its_own:
        shutil.rmtree(twin)
        shutil.copytree(faq, twin)
    else:  # beside its own, as if it were newer
        shutil.copytree(faq, twin.parent / f"{int(twin.name) + 1:020d}")
    assert len(reasons(check(data, expected, as_its_own))) == 1


def test_an_older_snapshot_under_a_newer_name_is_never_believed(data: Path, expected: list[Answers]) -> None:
    for number in range(1, len(COLLECTIONS) + 1):
        older, newer = snapshots(data, str(number))
        shutil.rmtree(newer)
        older.rename(newer)
    check(data, expected, "renamed")
