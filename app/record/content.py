"""What of a record counts as its content, and the hash that tells whether it changed."""

import hashlib

import orjson

from app.record.schemas import RecordPut


def content_hash(record: RecordPut) -> str:
    """A hash of all that a client can set, but where it came from."""
    content = [record.text, record.group, record.labels, record.role, record.metadata]
    packed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()
