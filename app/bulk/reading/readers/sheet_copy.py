"""A workbook of nothing but the parts that were looked through.

Of an archive whose parts have the same names, ids or sheets, or that has several directories, another reader may take
other parts: what it reads had then been looked at by nobody.
"""

from io import BytesIO
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from app.bulk.reading.readers.sheet_parts import Sheet, content_of

_FORMAT: Final = "http://schemas.openxmlformats.org"
_RELATED: Final = f"{_FORMAT}/officeDocument/2006/relationships"
_WORKBOOK: Final = (
    f'<workbook xmlns="{_FORMAT}/spreadsheetml/2006/main" xmlns:r="{_RELATED}"><workbookPr date1904="%d"/>'
    '<sheets><sheet name="sheet" sheetId="1" r:id="worksheet"/></sheets></workbook>'
)


def copy_of(file: IO[bytes], sheet: Sheet) -> BytesIO:
    """Write a workbook of this one sheet, packed, to memory."""
    shared = {"worksheet": sheet.part, "sharedStrings": sheet.strings, "styles": sheet.styles}
    parts = {kind: part for kind, part in shared.items() if part is not None}
    copy = BytesIO()
    with ZipFile(copy, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("_rels/.rels", _relations({"officeDocument": "xl/workbook.xml"}))
        archive.writestr("xl/workbook.xml", _WORKBOOK % sheet.counts_from_1904)
        archive.writestr("xl/_rels/workbook.xml.rels", _relations({kind: f"{kind}.xml" for kind in parts}))
        for kind, part in parts.items():
            _copy(file, part, archive, f"xl/{kind}.xml")
    copy.seek(0)
    return copy


def _copy(file: IO[bytes], part: ZipInfo, archive: ZipFile, name: str) -> None:
    with archive.open(name, "w") as target:
        for piece in content_of(file, part):
            target.write(piece)


def _relations(targets: dict[str, str]) -> str:
    inner = "".join(
        f'<Relationship Id="{kind}" Type="{_RELATED}/{kind}" Target="{at}"/>' for kind, at in targets.items()
    )
    return f'<Relationships xmlns="{_FORMAT}/package/2006/relationships">{inner}</Relationships>'
