"""Forms and packings: what headers say, held against the first bytes."""

import gzip

import pytest
import zstandard

from app.bulk.forms import Form, Packing, UploadForm, form_of, form_of_name
from app.errors import UnsupportedMediaTypeError

TEXT = b'{"te'
GZIP = gzip.compress(TEXT, mtime=0)  # the same in every process: it is in the names of tests
ZSTD = zstandard.compress(TEXT)
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("content_type", "content_encoding", "first_bytes", "expected"),
    [
        ("application/x-ndjson", None, TEXT, UploadForm(Form.NDJSON, Packing.NONE)),
        ("application/jsonl", "identity", TEXT, UploadForm(Form.NDJSON, Packing.NONE)),
        ("application/ndjson", "GZIP", GZIP, UploadForm(Form.NDJSON, Packing.GZIP)),
        ("text/csv", None, b"text", UploadForm(Form.CSV, Packing.NONE)),
        ("text/csv; charset=GBK; header=present", None, b"text", UploadForm(Form.CSV, Packing.NONE, "gb18030")),
        ('Text/CSV;charset="utf-16"', None, b"\xff\xfet\0", UploadForm(Form.CSV, Packing.NONE, "utf-16-le")),
        ("text/csv", None, GZIP, UploadForm(Form.CSV, Packing.GZIP)),
        ("text/tab-separated-values", "zstd", ZSTD, UploadForm(Form.TSV, Packing.ZSTD)),
        ("text/csv", "zstd", b"\x50\x2a\x4d\x18\x04\x00\x00\x00", UploadForm(Form.CSV, Packing.ZSTD)),  # pzstd's
        ("text/csv", None, b"\x5f\x2a\x4d\x18\x04\x00\x00\x00", UploadForm(Form.CSV, Packing.ZSTD)),
        ("application/vnd.apache.parquet", None, b"PAR1", UploadForm(Form.PARQUET, Packing.NONE)),
        (XLSX_TYPE, None, b"PK\x03\x04", UploadForm(Form.XLSX, Packing.NONE)),
        ("application/octet-stream", None, b"PAR1", UploadForm(Form.PARQUET, Packing.NONE)),
        ("application/octet-stream", None, b"PK\x03\x04", UploadForm(Form.XLSX, Packing.NONE)),
    ],
)
def test_headers_and_first_bytes_agree(
    content_type: str, content_encoding: str | None, first_bytes: bytes, expected: UploadForm
) -> None:
    assert form_of(content_type, content_encoding, first_bytes) == expected


@pytest.mark.parametrize(
    ("content_type", "content_encoding", "first_bytes", "named"),
    [
        (None, None, TEXT, ["no Content-Type", "text/csv"]),
        ("application/json", None, TEXT, ["'application/json'", "application/x-ndjson", XLSX_TYPE]),
        ("text/plain; charset=utf-8", None, TEXT, ["'text/plain; charset=utf-8'"]),
        ("application/octet-stream", None, TEXT, ["octet-stream"]),
        ("application/gzip", None, GZIP, ["application/gzip"]),
        ("text/csv", "br", TEXT, ["'br'", "gzip, zstd"]),
        ("text/csv", "gzip, gzip", GZIP, ["'gzip, gzip'"]),
        ("text/csv; charset=klingon", None, TEXT, ["charset=klingon", "gb18030"]),
        ("text/csv", None, b"PAR1", ["text/csv", "Parquet"]),
        ("text/csv", None, b"PK\x03\x04", ["text/csv", "zip archive"]),
        ("text/csv", "gzip", TEXT, ["gzip", "no packed data"]),
        ("text/csv", "gzip", ZSTD, ["gzip", "zstd"]),
        ("application/vnd.apache.parquet", None, b"PK\x03\x04", ["parquet", "zip archive"]),
        ("application/vnd.apache.parquet", None, TEXT, ["parquet", "none of its kind"]),
        (XLSX_TYPE, None, b"\xd0\xcf\x11\xe0", ["spreadsheetml", "old .xls"]),
        (XLSX_TYPE, None, b"text", ["spreadsheetml"]),
    ],
)
def test_what_is_not_taken_or_contradicts_itself(
    content_type: str | None, content_encoding: str | None, first_bytes: bytes, named: list[str]
) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        form_of(content_type, content_encoding, first_bytes)
    assert caught.value.status == 415
    assert all(name in caught.value.detail for name in named), caught.value.detail


def test_a_name_says_what_the_type_leaves_open() -> None:
    assert form_of("application/gzip", None, GZIP, name="faq.csv.gz") == UploadForm(Form.CSV, Packing.GZIP)
    assert form_of("application/octet-stream", None, TEXT, name="a.b.JSONL") == UploadForm(Form.NDJSON, Packing.NONE)
    with pytest.raises(UnsupportedMediaTypeError, match="starts like Parquet"):
        form_of("application/octet-stream", None, b"PAR1", name="faq.csv")


@pytest.mark.parametrize(
    ("name", "form", "packing", "content_type", "content_encoding"),
    [
        ("faq.csv.gz", Form.CSV, Packing.GZIP, "text/csv", "gzip"),
        ("a/b.d/faq.NDJSON", Form.NDJSON, Packing.NONE, "application/x-ndjson", None),
        ("x.jsonl.zst", Form.NDJSON, Packing.ZSTD, "application/x-ndjson", "zstd"),
        ("x.tsv", Form.TSV, Packing.NONE, "text/tab-separated-values", None),
        ("x.parquet", Form.PARQUET, Packing.NONE, "application/vnd.apache.parquet", None),
        ("x.xlsx", Form.XLSX, Packing.NONE, XLSX_TYPE, None),
    ],
)
def test_names(name: str, form: Form, packing: Packing, content_type: str, content_encoding: str | None) -> None:
    assert form_of_name(name) == (form, packing)
    assert (form.content_type, packing.content_encoding) == (content_type, content_encoding)


@pytest.mark.parametrize("name", ["faq", "faq.gz", "faq.xls", "faq.csv.bz2", ".csv"])
def test_names_that_say_nothing(name: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=r"name it \.ndjson"):
        form_of_name(name)
