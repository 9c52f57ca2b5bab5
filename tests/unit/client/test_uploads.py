"""What an upload is made of: lazily, in pieces of bounded size, and what its name says."""

import asyncio
import io
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.bulk import forms
from app.bulk.renames import read_renames
from samesay import uploads
from samesay.errors import FileChangedError

ROWS = [{"id": f"r{n}", "text": "我要退款 " * 20} for n in range(2000)]


def test_rows_are_taken_as_their_pieces_are_wanted() -> None:
    taken = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for row in ROWS:
            taken += 1
            yield row

    pieces = uploads.RowsContent(rows()).pieces()
    first = next(pieces)
    assert 65_536 <= len(first) < 65_536 + 1000
    assert taken < 300
    body = first + b"".join(pieces)
    assert [json.loads(line) for line in body.splitlines()] == ROWS


def test_rows_may_be_awaited_and_may_be_bytes() -> None:
    async def rows() -> AsyncIterator[uploads.Row]:
        yield b"id,text\n"
        yield b"r1,refund\n"

    async def joined() -> bytes:
        return b"".join([piece async for piece in uploads.RowsContent(rows()).pieces_async()])

    assert asyncio.run(joined()) == b"id,text\nr1,refund\n"
    with pytest.raises(TypeError, match="use AsyncClient"):
        list(uploads.RowsContent(rows()).pieces())


@pytest.mark.parametrize("suffix", [*forms._FORM_SUFFIXES, ".CSV"])
@pytest.mark.parametrize("packing", ["", *forms._PACKING_SUFFIXES])
def test_names_mean_what_they_mean_to_the_server(tmp_path: Path, suffix: str, packing: str) -> None:
    file = tmp_path / f"my.faq{suffix}{packing}"
    file.write_bytes(b"x")
    _, headers = uploads.upload_of(file, None)
    form, packed = forms.form_of_name(file.name)
    assert headers["Content-Type"] == form.content_type
    assert headers.get("Content-Encoding") == packed.content_encoding


def test_of_a_named_pipe_all_is_sent_and_once(tmp_path: Path) -> None:
    pipe, content = tmp_path / "faq.ndjson", b"x" * 200_000
    os.mkfifo(pipe)
    upload, headers = uploads.upload_of(pipe, None)
    assert "Content-Length" not in headers and not upload.is_repeatable
    writing = threading.Thread(target=pipe.write_bytes, args=(content,))
    writing.start()
    assert b"".join(upload.pieces()) == content
    writing.join()


def test_what_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    for name in ("faq", "faq.gz", "faq.doc"):
        file = tmp_path / name
        file.write_bytes(b"x")
        with pytest.raises(ValueError, match="give content_type"):
            uploads.upload_of(file, None)
        assert uploads.upload_of(file, "text/csv")[1]["Content-Type"] == "text/csv"


@pytest.mark.parametrize("source", [b"id,text\n", bytearray(b"x"), memoryview(b"x"), io.StringIO("id,text\n")])
def test_what_a_file_holds_is_not_taken_for_records(source: Any) -> None:
    with pytest.raises(TypeError, match="give the path of a file"):
        uploads.upload_of(source, "text/csv")


def test_a_file_opened_as_text_is_not_taken_for_records(tmp_path: Path) -> None:
    file = tmp_path / "faq.ndjson"
    file.write_bytes(b'{"id": "r1", "text": "a"}\n')
    with file.open() as opened, pytest.raises(TypeError, match="TextIOWrapper: give the path"):
        uploads.upload_of(opened, None)  # type: ignore[arg-type]  # as type checkers say too
    with file.open("rb") as opened_rightly:
        assert b"".join(uploads.upload_of(opened_rightly, None)[0].pieces()) == file.read_bytes()


@pytest.mark.parametrize("rows", [["a sentence"], {"id": "r1", "text": "a"}, [5], [["r1", "a"]], [None]])
def test_what_is_no_row_is_refused_before_it_is_sent(rows: Any) -> None:
    content, _ = uploads.upload_of(rows, None)
    with pytest.raises(TypeError, match="give mappings"):
        list(content.pieces())


@pytest.mark.parametrize(
    "columns",
    [
        {"text": "question", "group": "intent"},
        {"text": "question, as asked", "group": "a,b"},
        {"text": 'the "question", as asked', "group": 'the "intent"', "id": '"'},
        {"text": "a:b", "title": "two\nlines, of a sheet"},
    ],
)
def test_columns_mean_what_they_mean_to_the_server(columns: dict[str, str]) -> None:
    assert read_renames(uploads.pairs_of(columns)) == columns


def test_a_file_is_sent_as_it_was_when_the_upload_began(tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    file.write_bytes(b"x" * 200_000)
    content, headers = uploads.upload_of(file, None)
    with file.open("ab") as more:
        more.write(b"y" * 200_000)
    assert headers["Content-Length"] == "200000"
    assert b"".join(content.pieces()) == b"x" * 200_000
    file.write_bytes(b"x" * 70_000)
    with pytest.raises(FileChangedError, match=r"log.ndjson became shorter while it was sent"):
        list(content.pieces())
