"""The file that says what became of each row of an import."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson

from app.bulk.storing import RowResult

RESULTS: Final = "results.ndjson"
"""Name of the file in its job's folder."""


class ResultsFile:
    """Results in the order of the rows, durable before the checkpoint that counts them.

    Args:
        path: The file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "w+b")

    def write(self, results: Iterable[RowResult], size: int) -> int:
        """Write results behind the first `size` bytes, which the checkpoint before knows; what was there is replaced.

        Returns:
            The size of the file with them.
        """
        self._file.seek(size)
        self._file.truncate()
        self._file.write(b"".join(_line(result) for result in results))
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(result: RowResult) -> bytes:
    told = {"line": result.line, "status": result.status, "code": result.code}
    if result.id is not None:
        told["id"] = result.id
    if result.detail is not None:
        told["detail"] = result.detail
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
