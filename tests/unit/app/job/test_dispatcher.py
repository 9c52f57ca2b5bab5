"""What the dispatcher remembers of jobs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from app.job.dispatcher import Dispatcher
from app.job.repository import INDEXING


def test_nothing_is_remembered_of_jobs_that_others_have_ended() -> None:
    """As another server that is ahead does, or whoever deletes the collection."""
    unfinished: list[Any] = []
    done = SimpleNamespace(result=lambda: None)
    database = cast(Any, SimpleNamespace(read=lambda _: list(unfinished), write=lambda _: done))
    dispatcher = Dispatcher(database, Path(), [], lambda _: 3, lambda _: None, {}, lambda: None)
    for number in range(20):
        unfinished[:] = [SimpleNamespace(id=number, stage=INDEXING, seq=5, collection_id=1)]
        dispatcher._look()
        assert dispatcher._first_seen == {number: 3}
    unfinished.clear()
    dispatcher._look()
    assert dispatcher._first_seen == {}
