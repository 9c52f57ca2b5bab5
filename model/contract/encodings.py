"""Whether a text without a mark is UTF-8 or GB18030, told by its bytes."""

from collections.abc import Iterable


def believed(lines: Iterable[bytes]) -> str:
    """UTF-8, unless more of the lines can only be GB18030.

    A line that is UTF-8 is so by no accident, while most lines of UTF-8, and many of a Western code page, are GB18030
    too by their bytes. So that only counts of a line that is no UTF-8, and if most of what it then says is Chinese that
    people write. A stray byte of another encoding spoils its own line, not the others.

    Args:
        lines: Those in ASCII tell nothing.
    """
    telling = [line for line in lines if not line.isascii()]
    others = [line for line in telling if not _is_utf8(line)]
    return "gb18030" if sum(map(_is_chinese, others)) > len(telling) - len(others) else "utf-8"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(line: bytes) -> bool:
    """Whether it is GB18030, and of its characters past ASCII at least half are of GB 2312 or Big5, the common ones."""
    try:
        told = [character for character in line.decode("gb18030") if not character.isascii()]
    except UnicodeDecodeError:
        return False
    return 2 * sum(map(_is_common, told)) >= len(told)


def _is_common(character: str) -> bool:
    return any(character.encode(codec, "ignore") for codec in ("gb2312", "big5"))
