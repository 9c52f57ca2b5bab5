"""The ids of records whose file gives them none."""

import hashlib


def content_id(text: str, group: str | None) -> str:
    """A stable id: the same sentence in the same group is the same record."""
    return hashlib.sha256(f"{group or ''}\n{text}".encode(errors="replace")).hexdigest()[:20]
