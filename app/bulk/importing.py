"""The job of an import: from an uploaded file to stored records, from checkpoint to checkpoint."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from app.bulk.comparing import SEEN, Comparison
from app.bulk.counting import count_rows
from app.bulk.forms import Form, Packing
from app.bulk.overlapping import one_ahead
from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.opening import open_rows
from app.bulk.reading.parsing import Parsed, RowParser
from app.bulk.reading.rows import Limits, UploadCode, UploadError
from app.bulk.renames import read_renames
from app.bulk.results import RESULTS, ResultsFile
from app.bulk.storing import CREATED, GROUP, REJECTED, UNCHANGED, UPDATED, RowResult, count, store
from app.bulk.uploads import UPLOAD
from app.errors import StorageFullError
from app.job.errors import JobFailedError
from app.job.repository import Progress
from app.job.run import Handover, JobRun, Step
from app.job.tables import JobState

AT_ONCE: Final = 1000
"""Rows of one transaction: with more, other writers wait longer, and nothing is gained."""

_FULL: Final = "the disk is full: free some space, then send the file again"

_TOO_MUCH: Final = "some rows unpack to more than a worker's memory holds: shorten what is long in them"

_Apply = Callable[[Session, Sequence[Parsed], int], tuple[list[RowResult], int]]
"""Does something with rows, of which so many came before, and says what became of each, and the last change."""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """How far an import is.

    Attributes:
        rows: Rows of the file that are done with.
        total: Rows of the file, as far as one can tell without reading it whole.
        results_size: Bytes of the results of those rows.
        seq: The collection's last change when they were stored.
        counts: Rows by what was done with them.
        ignored_columns: The file's columns met so far that are none of ours.
        is_read: The file is read to its end.
    """

    rows: int = 0
    total: int | None = None
    results_size: int = 0
    seq: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    ignored_columns: list[str] = field(default_factory=list)
    is_read: bool = False


def run_import(run: JobRun, limits: Limits) -> Handover | dict[str, Any]:
    """Store, or compare, the rows of an upload that are not done with.

    Raises:
        JobFailedError: The file cannot be read on, or too many of its rows, or all, are rejected; says what was stored.
    """
    return _Import(run, limits).run()


def so_far(run: JobRun) -> dict[str, Any] | None:
    """What an import that did not reach its end has done; None where it did not come to any row."""
    return _result(_Checkpoint(**run.checkpoint), is_dry=run.request["dry_run"]) if run.checkpoint else None


def clean_up(folder: Path, state: JobState) -> None:
    """Remove the upload and what was seen of it; what became of its rows stays."""
    for path in (folder / UPLOAD, *folder.glob(f"{SEEN}*")):
        path.unlink(missing_ok=True)


def _result(done: _Checkpoint, *, is_dry: bool) -> dict[str, Any]:
    return {
        "rows": done.rows,
        **_counts(done),
        "seq": done.seq,
        "ignored_columns": done.ignored_columns,
        "dry_run": is_dry,
    }


def _counts(done: _Checkpoint) -> dict[str, int]:
    return {code: done.counts.get(code, 0) for code in (CREATED, UPDATED, UNCHANGED, REJECTED, GROUP)}


class _Import:
    def __init__(self, run: JobRun, limits: Limits) -> None:
        self._run, self._limits = run, limits
        self._is_dry: bool = run.request["dry_run"]
        self._done = _Checkpoint(**run.checkpoint)
        self._columns = ColumnMap(read_renames(run.request["columns"]), self._done.ignored_columns)

    def run(self) -> Handover | dict[str, Any]:
        if not self._done.is_read:
            self._read_all(self._run.folder / UPLOAD)
        if self._done.counts.get(REJECTED) == self._done.rows:
            raise JobFailedError(
                "all_rejected", f"every row was rejected, the results say why: mend the file; {self._told()}"
            )
        result = _result(self._done, is_dry=self._is_dry)
        return result if self._is_dry else Handover(self._done.seq, result)

    def _read_all(self, upload: Path) -> None:
        if not upload.exists():
            raise JobFailedError("upload_missing", f"the upload is gone: send the file again; {self._told()}")
        results = ResultsFile(self._run.folder / RESULTS)
        try:
            self._read(upload, results)
        except UploadError as error:
            raise JobFailedError(error.code, f"{error.detail}; {self._told()}") from None
        except StorageFullError as error:
            raise JobFailedError(error.code, f"{_FULL}; {self._told()}") from None
        except MemoryError:
            raise JobFailedError(UploadCode.TOO_LARGE, f"{_TOO_MUCH}; {self._told()}") from None
        finally:
            results.close()

    def _read(self, upload: Path, results: ResultsFile) -> None:
        asked = self._run.request
        form, packing = Form(asked["form"]), Packing(asked["packing"])
        parser, apply = RowParser(self._columns, form), self._applier()
        if self._done.total is None:
            if not self._done.rows:
                self._tell_counted(0)  # a spreadsheet is read whole, for up to minutes, before anything can be told
            self._done = replace(self._done, total=count_rows(upload, form, packing, self._limits, self._tell_counted))
        raw = open_rows(
            upload,
            form,
            packing,
            charset=asked["charset"],
            limits=self._limits,
            columns=self._columns,
            skip_rows=self._done.rows,
        )
        rows = map(parser.parse, raw)
        with closing(one_ahead(iter(lambda: list(islice(rows, AT_ONCE)), []))) as parts:
            for part in parts:
                self._step(part, apply, results)
        self._step([], apply, results, is_read=True)

    def _tell_counted(self, lines: int) -> None:
        self._run.report(Progress("counting", lines, unit="lines"))

    def _applier(self) -> _Apply:
        name, collection_id = self._run.collection, self._run.collection_id
        if self._is_dry:
            return Comparison(self._run.folder, name, collection_id).compare
        return lambda session, rows, _: store(session, name, collection_id, rows)

    def _step(self, part: Sequence[Parsed], apply: _Apply, results: ResultsFile, *, is_read: bool = False) -> None:
        """Do what is to be done with some rows, and write down how far the import is, in one transaction."""
        before = self._done

        def step(session: Session) -> Step:
            told, seq = apply(session, part, before.rows)
            rows = before.rows + len(part)
            done = replace(
                before,
                rows=rows,
                total=rows if is_read else before.total,
                results_size=results.write(told, before.results_size),
                seq=max(seq, before.seq),
                counts=dict(Counter(before.counts) + count(told)),
                ignored_columns=list(self._columns.ignored_columns),
                is_read=is_read,
            )
            return Step(asdict(done), self._progress(done))

        self._run.commit(step)
        self._done = _Checkpoint(**self._run.checkpoint)
        if self._done.counts.get(REJECTED, 0) > self._run.request["max_rejected"]:
            raise JobFailedError(
                "too_many_rejected",
                f"more than {self._run.request['max_rejected']} rows were rejected, the results say why: "
                f"mend the file, or allow more by max_rejected; {self._told()}",
            )

    def _progress(self, done: _Checkpoint) -> Progress:
        total = None if done.total is None else max(done.total, done.rows)
        return Progress("comparing" if self._is_dry else "storing", done.rows, total)

    def _told(self) -> str:
        """What was done before an import ended early."""
        if self._is_dry:
            return "nothing was stored, as in every dry run"
        counts = _counts(self._done)
        rejected, groups = counts[REJECTED], counts.pop(GROUP)
        if rejected == self._done.rows:
            return "nothing was stored"
        told = ", ".join(f"{n} {code}" for code, n in counts.items()) + (
            f", {groups} describing a group" if groups else ""
        )
        return f"the first {self._done.rows} rows were done: {told}; they stay, and sending them again changes nothing"
