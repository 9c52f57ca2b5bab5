"""The file of an export survives a loss of power once its job has succeeded."""

from pathlib import Path

import pytest

from app.bulk import exporting
from model.contract.files import sync_path


def test_the_name_of_an_export_is_on_the_disk_before_its_job_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the job says that there is a file, and what is found is a part that is tidied away."""
    durable: dict[str, set[str]] = {}

    def noted(path: Path) -> None:
        durable[path.name] = {found.name for found in path.iterdir()} if path.is_dir() else set()
        sync_path(path)

    monkeypatch.setattr(exporting, "sync_path", noted)
    part, path = tmp_path / "export.ndjson.1.part", tmp_path / "export.ndjson"
    part.write_text("{}\n")
    exporting._make_durable(part, path)
    assert durable == {part.name: set(), tmp_path.name: {path.name}}
