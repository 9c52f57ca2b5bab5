"""What a Milvus server is asked for: expressions over the ids of its rows."""

from typing import Final

from index.types import Ids

RECORD_ID: Final = "record_id"
"""The field of the ids; those of notes are negative."""

ANY_RECORD: Final = f"{RECORD_ID} >= 0"
"""The expression that every record fulfils, and no note."""


def ids_in(record_ids: Ids) -> str:
    """The expression that only these records fulfil."""
    return f"{RECORD_ID} in [{','.join(map(str, record_ids.tolist()))}]"


def ids_not_in(record_ids: Ids) -> str:
    """The expression that all records but these fulfil; notes do not."""
    return f"{ANY_RECORD} and not ({ids_in(record_ids)})" if len(record_ids) else ANY_RECORD


def ids_below(end: int, without: Ids) -> str:
    """The expression that all records fulfil whose id is below `end`, but for some."""
    below = f"{ANY_RECORD} and {RECORD_ID} < {end}"
    return below if not len(without) else f"{below} and not ({ids_in(without)})"
