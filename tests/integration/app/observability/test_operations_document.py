"""docs/operations.md against the code: every metric, event of the log and setting, and no other."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.settings import Settings
from tests.fakes.running import Running

ROOT: Final = Path(__file__).parents[4]
DOCUMENT: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SUFFIXES: Final = {"counter": "_total", "info": "_info"}
LEVELS: Final = {"warning": "warning", "error": "error", "exception": "error"}


def rows_of(section: str) -> Iterator[list[str]]:
    """The cells of each row of the tables of a section, without their headers."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    for line in re.findall(r"^\| `.*", text, re.MULTILINE):
        yield [cell.strip() for cell in line[1:-1].split("|")]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_metric_is_described_with_its_labels(shared_service: Running, collection: str) -> None:
    client = shared_service.client
    assert client.post(f"/v1/collections/{collection}:classify", json={"text": "money"}).status_code == 200
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        name = family.name + SUFFIXES.get(family.type, "")
        if name.startswith("samesay_") and not name.endswith("_created"):
            labels[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    described = {
        name: set(filter(None, cells[1].split(", "))) for cells in rows_of("Metrics") for name in names_in(cells[0])
    }
    assert described.pop("process_resident_memory_bytes") == described.pop("process_") == set()
    assert described.keys() == labels.keys()
    assert len(described) > 20
    for name, found in labels.items():
        assert found in (described[name], set()), f"{name} has other labels"  # none: nothing was counted yet
    assert labels["samesay_requests_total"] == {"route", "method", "status"}


def test_metrics_of_the_rules_exist() -> None:
    known = {name for cells in rows_of("Metrics") for name in names_in(cells[0])}
    (rules,) = re.findall(r"as rules of Prometheus:\n\n```\n(.*?)```", DOCUMENT, re.DOTALL)
    used = {name.removesuffix("_bucket") for name in re.findall(r"samesay_\w+", rules)}
    assert used <= known and len(used) >= 7


def events_of(path: Path) -> Iterator[tuple[str, str]]:
    """Name and level of each event that is more than information."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "_log":
            level = LEVELS.get(node.func.attr)
        else:
            level = "warning" if ast.unparse(node.func) == "_try" else None  # the keyring's
        if level is not None:
            yield from ((name, level) for name in strings_of(node.args[0]))


def strings_of(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return [*strings_of(node.body), *strings_of(node.orelse)]
    if isinstance(node, ast.Constant):
        return [node.value]
    assert ast.unparse(node) == "event", "a name that is not written where it is logged cannot be found"
    return []  # what `_try` was given


def test_every_warning_and_error_of_the_log_is_described() -> None:
    logged: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "app").rglob("*.py"):
        for name, level in events_of(path):
            logged[name].add(level)
    described: dict[str, set[str]] = {}
    for cells in rows_of("Logs"):
        for name in names_in(cells[0]):
            assert name not in described
            described[name] = set(cells[1].split(", "))
    assert described.keys() == logged.keys()
    assert len(described) > 30
    for name, levels in logged.items():
        assert levels <= described[name], name


def test_everything_in_a_data_folder_is_described(shared_service: Running, collection: str) -> None:
    described = {name.rstrip("/") for cells in rows_of("The data folder") for name in names_in(cells[0])}
    upload = {"content": b'{"text": "x"}', "headers": {"Content-Type": "application/x-ndjson"}}
    assert shared_service.client.post(f"/v1/collections/{collection}/imports", **upload).status_code == 202
    there = {path.name for path in shared_service.container.settings.data.iterdir()}
    assert there <= described
    assert described - there <= {"samesay.db-wal", "samesay.db-shm", "collections"}  # these come and go


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_with_its_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    described = {names_in(cells[0])[0]: cells[1] for cells in rows_of("Settings")}
    default = described[f"SAMESAY_{name.upper()}"]
    field: Any = Settings.model_fields[name]
    if not default:
        assert field.default in (None, ())
        return
    monkeypatch.setenv(f"SAMESAY_{name.upper()}", default.strip("`"))
    assert getattr(Settings(), name) == field.default


def test_no_other_setting_is_described() -> None:
    described = [names_in(cells[0])[0] for cells in rows_of("Settings")]
    assert sorted(described) == sorted(f"SAMESAY_{name.upper()}" for name in Settings.model_fields)
