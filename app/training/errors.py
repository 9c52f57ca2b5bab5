"""Why no release comes of a job."""

from app.job.errors import JobFailedError


def collection_gone(collection: str) -> JobFailedError:
    """The collection was deleted."""
    return JobFailedError("collection_gone", f"the collection {collection!r} was deleted meanwhile")


def no_records(collection: str) -> JobFailedError:
    """There is nothing to learn from, nor to be judged by."""
    return JobFailedError("no_records", f"the collection {collection!r} has no records: import some and order it again")


def rows_missing() -> JobFailedError:
    """The frozen rows went from under the job; a backup, for one, holds jobs but none of their files."""
    return JobFailedError("rows_missing", "the frozen records of the job are gone: order it again")
