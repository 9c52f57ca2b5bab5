"""Which workers a server starts."""

from pathlib import Path

import pytest

from app import container
from app.job.kinds import Kind
from app.job.tables import TYPES_OF
from app.settings import Settings


@pytest.mark.parametrize(
    ("url", "has_torch", "kinds"),
    [
        (None, True, 2),
        (None, False, 2),
        ("postgresql://x/y", True, 2),
        ("postgresql://x/y", False, 1),
    ],
)
def test_who_makes_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, has_torch: bool, kinds: int
) -> None:
    """One that shares its database leaves them to others where it has no trainer; alone it says what is missing."""
    monkeypatch.setattr(container, "find_spec", lambda name: object() if has_torch else None)
    pools = container.worker_pools(Settings(data=tmp_path, database_url=url))
    assert len(pools) == kinds
    assert pools[0].types == TYPES_OF[Kind.FILES]
    assert container.worker_pools(Settings(data=tmp_path, database_url=url, workers=0)) == []
