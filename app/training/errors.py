"""Why no release comes of a job."""

from app.job.errors import JobFailedError


def collection_gone(collection: str) -> JobFailedError:
    """The collection was deleted."""
    return JobFailedError("collection_gone", f"the collection {collection!r} was deleted meanwhile")
