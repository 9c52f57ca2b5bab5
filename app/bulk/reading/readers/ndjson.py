"""NDJSON: one JSON object a line."""

from collections.abc import Iterator
from itertools import islice

from app.bulk.reading.charsets import Encoding, open_text
from app.bulk.reading.exact_json import loads
from app.bulk.reading.lines import Block, blocks, line_fault, too_long
from app.bulk.reading.rows import Columns, Fault, FaultCode, Limits, RawRow, UploadError
from app.bulk.reading.unpacking import ByteStream


def read_ndjson(
    stream: ByteStream, *, codec: str | None, limits: Limits, columns: Columns | None, skip_rows: int
) -> Iterator[RawRow]:
    """Rows of NDJSON; blank lines are none."""
    stream, encoding = open_text(stream, codec)
    first_line = 1
    for block in blocks(stream, most_line_bytes=limits.most_line_bytes):
        encoding.see(block.lines)
        if columns is not None and _show_first(block, encoding, columns):
            columns = None
        count = _count(block) if skip_rows else 0
        if skip_rows and count <= skip_rows:
            skip_rows -= count
        else:
            yield from islice(_rows(block, first_line, encoding, limits), skip_rows, None)
            skip_rows = 0
        first_line += len(block.lines)


def _count(block: Block) -> int:
    """Rows of a block, unread."""
    return block.too_long + sum(1 for line in block.lines if not line.isspace())


def _show_first(block: Block, encoding: Encoding, columns: Columns) -> bool:
    """Let the columns of the first object be chosen that has what is needed; says whether there was any object.

    Raises:
        UploadError: None of them has it.
    """
    lacking: UploadError | None = None
    for line in block.lines:
        try:
            value = loads(line.decode(encoding.codec).encode())
        except ValueError:
            continue
        if isinstance(value, dict):
            try:
                columns.choose(list(value), of_every_row=False)
            except UploadError as error:
                lacking = lacking or error
            else:
                return True
    if lacking is not None:
        raise lacking
    return False


def _rows(block: Block, first_line: int, encoding: Encoding, limits: Limits) -> Iterator[RawRow]:
    if block.too_long:
        yield RawRow(first_line, too_long(limits.most_line_bytes))
    recode = encoding.codec != "utf-8"
    for number, line in enumerate(block.lines, start=first_line):
        try:
            value = loads(line.decode(encoding.codec).encode() if recode else line)
        except ValueError as error:
            if not line.isspace():
                fault = line_fault(line, encoding) or Fault(FaultCode.NOT_JSON, f"the line is not JSON: {error}")
                yield RawRow(number, fault)
            continue
        if type(value) is dict:
            yield RawRow(number, value)
        else:
            detail = f"a JSON object is wanted, not {type(value).__name__}: write one to a line"
            yield RawRow(number, Fault(FaultCode.NOT_JSON, detail))
