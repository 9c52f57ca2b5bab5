"""The gate as a service runs it: `judge` as a child process, beside a bundle that is as good, and spoilt ones."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHARE = "0.25"
SETTINGS = (
    "word_dim=64",
    "hidden_size=32",
    "epochs=10",
    "batch_size=32",
    "refit=false",
    "threads=1",
    f"keep_out={SHARE}",
)
N_GROUPS, N_EACH = 24, 30


def sentences() -> list[str]:
    """Of each group in turn, N_EACH: two of its five words, among some that all groups use."""
    rng = random.Random(7)
    common = [f"w{rng.randrange(10**6):x}" for _ in range(40)]
    topics = [[f"t{rng.randrange(10**8):x}" for _ in range(5)] for _ in range(N_GROUPS)]
    return [" ".join([*rng.sample(topic, 2), *rng.sample(common, 4)]) for topic in topics for _ in range(N_EACH)]


def write(path: Path, groups: list[str]) -> None:
    """As a service freezes its records."""
    lines = [
        {"id": f"r{number}", "text": text, "group": group, "labels": [], "role": "example"}
        for number, (text, group) in enumerate(zip(sentences(), groups, strict=True))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@dataclass(frozen=True)
class Gate:
    """Records, their twin with groups at random, and bundles by what they were trained on."""

    folder: Path
    trainer: Any

    @property
    def rows(self) -> Path:
        return self.folder / "rows.ndjson"

    @property
    def shuffled(self) -> Path:
        return self.folder / "shuffled.ndjson"

    def bundle(self, name: str) -> Path:
        return self.folder / name / "bundle"

    def train(self, name: str, rows: Path, seed: int) -> None:
        options = [part for setting in SETTINGS for part in ("--set", setting)]
        self.trainer("train", rows, "--out", self.folder / name, "--seed", str(seed), *options)

    def judge(self, candidate: str, rows: Path, *options: str) -> dict[str, Any]:
        out = self.folder / "verdict.json"
        sides = ("--candidate", self.bundle(candidate), "--active", self.bundle("first"))
        done = self.trainer("judge", rows, *sides, "--keep-out", SHARE, "--out", out, *options)
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert {event["stage"] for event in events} <= {"judging"}
        verdict: dict[str, Any] = json.loads(out.read_text())
        return verdict


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, trainer: Any) -> Gate:
    gate = Gate(tmp_path_factory.mktemp("gate"), trainer)
    groups = [f"g{number // N_EACH}" for number in range(N_GROUPS * N_EACH)]
    write(gate.rows, groups)
    write(gate.shuffled, random.Random(0).sample(groups, len(groups)))
    gate.train("first", gate.rows, 0)
    gate.train("second", gate.rows, 1)
    gate.train("spoilt", gate.shuffled, 2)
    return gate


@pytest.mark.slow
def test_another_seed_passes_beside_the_first(gate: Gate) -> None:
    verdict = gate.judge("second", gate.rows, "--progress", "json")
    assert verdict["passed"] and verdict["reasons"] == []
    assert verdict["training_data"] == {"candidate": "kept out", "active": "kept out"}
    assert verdict["held_out"]["n"] > 100
    assert verdict["metrics"]["active"]["hit_rate@1"]["value"] > 0.5, "or nothing was learned that could be lost"


@pytest.mark.slow
def test_labels_shuffled_are_refused(gate: Gate) -> None:
    verdict = gate.judge("spoilt", gate.rows)
    failed = {rule["name"] for rule in verdict["rules"] if not rule["passed"]}
    assert not verdict["passed"] and {"not_worse.hit_rate@1", "not_worse.best_group"} & failed
    assert len(verdict["reasons"]) == len(failed)


@pytest.mark.slow
def test_records_in_groups_at_random_are_refused(gate: Gate) -> None:
    verdict = gate.judge("spoilt", gate.shuffled)
    failed = [rule["name"] for rule in verdict["rules"] if not rule["passed"]]
    assert "above_chance" in failed and not verdict["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "said"),
    [('{"alhpa": 0.1}', "gate alhpa"), ("{", "is not JSON"), (None, "cannot be read")],
)
def test_wrong_rules_are_one_line(gate: Gate, tmp_path: Path, rules: str | None, said: str) -> None:
    if rules is not None:
        (tmp_path / "rules.json").write_text(rules)
    sides = ("--candidate", gate.bundle("first"), "--active", gate.bundle("first"))
    options = ("--rules", tmp_path / "rules.json", "--out", tmp_path / "verdict.json")
    done = gate.trainer("judge", gate.rows, *sides, *options, check=False)
    assert done.returncode == 1 and not (tmp_path / "verdict.json").exists()
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
