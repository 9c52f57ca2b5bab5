"""What jobs have left on the disk whose workers died, and what becomes of it."""

import os
import time
from pathlib import Path

import pytest

from app.job.dispatcher import tidy_files
from app.job.tables import JobState, JobType
from app.settings import Settings
from app.worker_duties import duties_of

IMPORTED = {"upload", "seen.db", "seen.db-journal", "results.ndjson"}
EXPORTED = {"export.ndjson", "export.ndjson.1.part"}
TRAINED = {"rows.ndjson", "check.json", "run/bundle/encoder.onnx", "snapshots/1/vectors"}


@pytest.mark.parametrize(
    ("kind", "state", "files", "left"),
    [
        (JobType.IMPORT, JobState.SUCCEEDED, IMPORTED, {"results.ndjson"}),
        (JobType.IMPORT, JobState.RUNNING, IMPORTED, IMPORTED),
        (JobType.EXPORT, JobState.SUCCEEDED, EXPORTED, {"export.ndjson"}),
        (JobType.EXPORT, JobState.FAILED, EXPORTED, set()),
        (JobType.TRAINING, JobState.SUCCEEDED, TRAINED, set()),
        (JobType.TRAINING, JobState.CANCELLING, TRAINED, TRAINED),
    ],
)
def test_what_jobs_leave_whose_workers_died_at_the_end_is_tidied_away(
    tmp_path: Path, kind: JobType, state: JobState, files: set[str], left: set[str]
) -> None:
    for path in (tmp_path / "a" / name for name in files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a sentence")
    duties = duties_of(Settings(data=tmp_path), None)
    tidy_files(tmp_path, {"a": (kind, state)}, {each: duty.clean_up for each, duty in duties.items()})
    assert {str(path.relative_to(tmp_path / "a")) for path in tmp_path.rglob("*") if path.is_file()} == left


def test_the_file_of_an_export_is_kept_for_a_week(tmp_path: Path) -> None:
    clean_up = duties_of(Settings(data=tmp_path), None)[JobType.EXPORT].clean_up
    for key, days in (("young", 6.9), ("old", 7.1)):
        (tmp_path / key).mkdir()
        path = tmp_path / key / "export.parquet"
        path.write_text("a sentence")
        os.utime(path, (time.time(), time.time() - days * 24 * 3600))
    tidy_files(
        tmp_path, dict.fromkeys(("young", "old"), (JobType.EXPORT, JobState.SUCCEEDED)), {JobType.EXPORT: clean_up}
    )
    assert [path.parent.name for path in tmp_path.rglob("export.*")] == ["young"]


def test_folders_of_jobs_that_there_are_not_are_tidied_away_once_they_are_old(tmp_path: Path) -> None:
    for key in ("unknown", "old"):
        (tmp_path / key).mkdir()
        (tmp_path / key / "upload").write_text(key)
    for path in (tmp_path / "old", tmp_path / "old" / "upload"):
        os.utime(path, (0, 0))
    tidy_files(tmp_path, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["unknown"]


def test_a_folder_that_cannot_be_tidied_keeps_no_other_from_it(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        (tmp_path / key / "upload").mkdir(parents=True)  # where a file is to be removed
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "link").symlink_to(tmp_path / "gone")
    done = tmp_path / "done" / "upload"
    done.parent.mkdir()
    done.write_text("a sentence")
    clean_up = duties_of(Settings(data=tmp_path), None)[JobType.IMPORT].clean_up
    known = dict.fromkeys(("a", "b", "c", "done"), (JobType.IMPORT, JobState.SUCCEEDED))
    tidy_files(tmp_path, known, {JobType.IMPORT: clean_up})
    assert not done.exists()
