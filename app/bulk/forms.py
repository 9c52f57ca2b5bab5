"""Which form an upload has and how it is packed: what its headers say, held against its first bytes."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePath
from typing import Final, NamedTuple

from app.errors import UnsupportedMediaTypeError

SNIFFED_BYTES: Final = 4
"""First bytes of an upload that tell packed and binary forms."""


class Form(StrEnum):
    """What an upload's rows are written in."""

    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    XLSX = "xlsx"

    @property
    def content_type(self) -> str:
        """The media type to send it under."""
        return next(name for name, form in _FORMS.items() if form is self)


class Packing(StrEnum):
    """What an upload is packed with, as a whole."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def content_encoding(self) -> str | None:
        """The Content-Encoding to send it under."""
        return None if self is Packing.NONE else self.value


class UploadForm(NamedTuple):
    """How an upload is to be read.

    Attributes:
        charset: The encoding that its sender names, as Python calls it; None where it is to be found out.
    """

    form: Form
    packing: Packing
    charset: str | None = None


_FORMS: Final[Mapping[str, Form]] = {
    "application/x-ndjson": Form.NDJSON,
    "application/ndjson": Form.NDJSON,
    "application/jsonl": Form.NDJSON,
    "text/csv": Form.CSV,
    "text/tab-separated-values": Form.TSV,
    "application/vnd.apache.parquet": Form.PARQUET,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": Form.XLSX,
}
CONTENT_TYPES: Final = tuple(_FORMS)
"""The media types under which uploads are taken."""

_PACKED_TYPES: Final[Mapping[str, Packing]] = {"application/gzip": Packing.GZIP, "application/zstd": Packing.ZSTD}
_BYTES: Final = "application/octet-stream"
_PACKINGS: Final[Mapping[str, Packing]] = {
    "": Packing.NONE,
    "identity": Packing.NONE,
    "gzip": Packing.GZIP,
    "x-gzip": Packing.GZIP,
    "zstd": Packing.ZSTD,
}
_FORM_SUFFIXES: Final[Mapping[str, Form]] = {
    ".ndjson": Form.NDJSON,
    ".jsonl": Form.NDJSON,
    ".csv": Form.CSV,
    ".tsv": Form.TSV,
    ".parquet": Form.PARQUET,
    ".xlsx": Form.XLSX,
}
_PACKING_SUFFIXES: Final[Mapping[str, Packing]] = {".gz": Packing.GZIP, ".zst": Packing.ZSTD}
_CODECS: Final[Mapping[str, str]] = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "utf-16": "utf-16-le",  # what Windows means; a byte-order mark says otherwise
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "iso-8859-1": "cp1252",  # browsers and spreadsheets write the one and call it the other
    "windows-1252": "cp1252",
}
_GZIP, _ZSTD, _PARQUET, _ZIP, _OLE = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_ZSTD_STARTS: Final = (_ZSTD, *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))
"""A file may begin with a frame that is to be skipped, as pzstd's do."""


def form_of(
    content_type: str | None, content_encoding: str | None, first_bytes: bytes, *, name: str | None = None
) -> UploadForm:
    """How to read an upload.

    Args:
        content_type: The header, with its parameters.
        content_encoding: The header; where it says nothing, the first bytes tell whether the upload is packed.
        first_bytes: At least SNIFFED_BYTES of them, unless there are fewer.
        name: The file's, if known: it names the form where the type leaves it open (octet-stream, gzip, zstd).

    Raises:
        UnsupportedMediaTypeError: Nothing that is taken, or the bytes are something else than the headers say.
    """
    media_type, parameters = _split(content_type or "")
    packing = _packing(media_type, content_encoding, first_bytes)
    form = _FORMS.get(media_type) or _form_left_open(media_type, content_type, packing, first_bytes, name)
    if packing is Packing.NONE:
        _check_form(form, first_bytes, said=media_type if media_type in _FORMS else form.content_type)
    return UploadForm(form, packing, _codec(parameters.get("charset")))


def _check_form(form: Form, first_bytes: bytes, *, said: str) -> None:
    """Hold a form against the first bytes of the upload, unpacked.

    Raises:
        UnsupportedMediaTypeError: They are of another form; both are named.
    """
    wanted = {Form.PARQUET: _PARQUET, Form.XLSX: _ZIP}.get(form)
    found = described(first_bytes)
    if not first_bytes or (found is None if wanted is None else first_bytes.startswith(wanted)):
        return
    raise UnsupportedMediaTypeError(
        f"the upload is sent as {said}, but starts like {found or 'none of its kind'}: send it under its own type"
    )


def described(first_bytes: bytes) -> str | None:
    """What a binary upload starts like; None for text."""
    for magic, name in (
        (_GZIP, "gzip"),
        (_ZSTD_STARTS, "zstd"),
        (_PARQUET, "Parquet"),
        (_ZIP, "a zip archive such as XLSX"),
        (_OLE, "an old .xls workbook, or one with a password"),
    ):
        if first_bytes.startswith(magic):
            return name
    return None


def form_of_name(name: str) -> tuple[Form, Packing]:
    """Form and packing of a file by its name, such as `faq.csv.gz`.

    Raises:
        UnsupportedMediaTypeError: It ends in none that is known.
    """
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    packing = _PACKING_SUFFIXES.get(suffixes[-1], Packing.NONE) if suffixes else Packing.NONE
    if packing is not Packing.NONE:
        suffixes.pop()
    form = _FORM_SUFFIXES.get(suffixes[-1]) if suffixes else None
    if form is None:
        known = ", ".join(_FORM_SUFFIXES)
        raise UnsupportedMediaTypeError(f"{name}: name it {known}, with {' or '.join(_PACKING_SUFFIXES)} if packed")
    return form, packing


def _split(content_type: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, in lower case."""
    media_type, *rest = content_type.lower().split(";")
    pairs = (part.partition("=") for part in rest)
    return media_type.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _packing(media_type: str, content_encoding: str | None, first_bytes: bytes) -> Packing:
    said = _PACKINGS.get((content_encoding or "").strip().lower())
    if said is None:
        raise UnsupportedMediaTypeError(f"Content-Encoding {content_encoding!r} is not taken: send gzip, zstd or none")
    if said is Packing.NONE:
        said = _PACKED_TYPES.get(media_type, Packing.NONE)
    found = {"gzip": Packing.GZIP, "zstd": Packing.ZSTD}.get(described(first_bytes) or "", Packing.NONE)
    if said is not Packing.NONE and found is not said and first_bytes:
        looks = described(first_bytes) or "no packed data"
        raise UnsupportedMediaTypeError(f"the upload is said to be {said}, but starts like {looks}: correct the header")
    return found


def _form_left_open(
    media_type: str, content_type: str | None, packing: Packing, first_bytes: bytes, name: str | None
) -> Form:
    """The form of an upload whose type says bytes only."""
    if media_type in (_BYTES, *_PACKED_TYPES):
        if name is not None:
            return form_of_name(name)[0]
        for magic, form in ((_PARQUET, Form.PARQUET), (_ZIP, Form.XLSX)):
            if packing is Packing.NONE and first_bytes.startswith(magic):
                return form
    known = ", ".join(_FORMS)
    given = f"Content-Type {content_type!r} does not name a form that is taken" if content_type else "no Content-Type"
    raise UnsupportedMediaTypeError(
        f"{given}: send one of {known}; with Content-Encoding gzip or zstd if the file is packed"
    )


def _codec(charset: str | None) -> str | None:
    if charset is None:
        return None
    codec = _CODECS.get(charset)
    if codec is None:
        raise UnsupportedMediaTypeError(f"charset={charset} is not taken: send one of {', '.join(_CODECS)}")
    return codec
