"""How many rows a file has, as far as that can be told much faster than by reading them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.bulk.forms import Form, Packing
from app.bulk.reading.rows import Limits
from app.bulk.reading.unpacking import unpacked

_AT_ONCE: Final = 2**20


def count_rows(path: Path, form: Form, packing: Packing, limits: Limits, tell: Callable[[int], None]) -> int | None:
    """Rows of a file: of a text its lines, some of which may belong to one row; None where only reading tells.

    Args:
        path: The file.
        form: Of its rows.
        packing: Of it as a whole.
        limits: How far it may go.
        tell: Hears how many lines were counted so far, and may end the counting by raising.

    Raises:
        UploadError: The file cannot be unpacked.
    """
    if form is Form.PARQUET and packing is Packing.NONE:
        return _rows_of_parquet(path)
    if form in (Form.PARQUET, Form.XLSX):
        return None
    with path.open("rb") as file:
        stream, lines, last = unpacked(file, packing, limits), 0, b"\n"
        while piece := stream.read(_AT_ONCE):
            lines, last = lines + piece.count(b"\n"), piece[-1:]
            tell(lines)
    lines += last != b"\n"
    return max(0, lines - (form is not Form.NDJSON))


def _rows_of_parquet(path: Path) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        return None  # whoever reads it says what is wrong
