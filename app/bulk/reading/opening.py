"""From a file on the disk to its rows, whatever its form: a few megabytes of it in memory, but for spreadsheets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from app.bulk.forms import SNIFFED_BYTES, Form, Packing, described
from app.bulk.reading.readers.delimited import read_csv, read_tsv
from app.bulk.reading.readers.ndjson import read_ndjson
from app.bulk.reading.readers.parquet import read_parquet
from app.bulk.reading.readers.xlsx import read_xlsx
from app.bulk.reading.rows import Columns, Limits, RawRow, UploadCode, UploadError
from app.bulk.reading.unpacking import ByteStream, unpacked

_TEXT_READERS: Final = {Form.NDJSON: read_ndjson, Form.CSV: read_csv, Form.TSV: read_tsv}
_FILE_READERS: Final = {Form.PARQUET: read_parquet, Form.XLSX: read_xlsx}
_STARTS: Final = {Form.PARQUET: "Parquet", Form.XLSX: "a zip archive such as XLSX"}
_COPY_BYTES: Final = 2**20


def open_rows(
    path: Path,
    form: Form,
    packing: Packing = Packing.NONE,
    *,
    charset: str | None = None,
    limits: Limits | None = None,
    columns: Columns | None = None,
    skip_rows: int = 0,
) -> Iterator[RawRow]:
    """Read a file's rows, the wrong ones too, each in its place: the same file gives the same rows in the same order.

    Nothing is read before the first row is asked for. Packed Parquet and XLSX are unpacked beside the file, where they
    vanish with the process.

    Args:
        charset: Python's name of a text's encoding; found out where it is None.
        columns: Who chooses the columns to read; all are read where it is None.
        skip_rows: Rows to pass over, in order to go on where another reading stopped.

    Raises:
        UploadError: The file cannot be read, or not any further.
        OSError: The disk.
    """
    limits = limits or Limits()
    with path.open("rb") as file:
        stream = unpacked(file, packing, limits)
        _check_start(stream.peek(SNIFFED_BYTES), form)
        if form in _TEXT_READERS:
            read = _TEXT_READERS[form]
            rows = read(stream, codec=charset, limits=limits, columns=columns, skip_rows=skip_rows)
            yield from _some(rows, skip_rows)
            return
        with _whole(file, stream, packing, path.parent) as whole:
            rows = _FILE_READERS[form](whole, limits=limits, columns=columns, skip_rows=skip_rows)
            yield from _some(rows, skip_rows)


def _check_start(first_bytes: bytes, form: Form) -> None:
    if not first_bytes:
        raise UploadError(UploadCode.EMPTY, "the file is empty")
    found = described(first_bytes)
    if found != _STARTS.get(form):
        detail = f"the file should be {form}, but starts like {found or 'none'}: send it as what it is, packed once"
        raise UploadError(UploadCode.WRONG_FORM, detail)


@contextmanager
def _whole(file: IO[bytes], stream: ByteStream, packing: Packing, folder: Path) -> Iterator[IO[bytes]]:
    """A file that can be read in any order."""
    if packing is Packing.NONE:
        yield file
        return
    with TemporaryFile(dir=folder) as whole:
        while piece := stream.read(_COPY_BYTES):
            whole.write(piece)
        whole.seek(0)
        yield whole


def _some(rows: Iterator[RawRow], skip_rows: int) -> Iterator[RawRow]:
    first = next(rows, None)
    if first is not None:
        yield first
        yield from rows
    elif not skip_rows:
        raise UploadError(UploadCode.NO_ROWS, "the file holds no rows")
