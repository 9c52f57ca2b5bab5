"""A LiveIndex with what a server does around it: now and then a new base, while searches and changes go on."""

from collections.abc import Callable

from index.backends.rows import FrozenIndex
from index.factory import build
from index.live import LiveIndex
from index.spec import IndexSpec, choose_spec
from tests.fakes.live_rows import live_rows


class CompactingIndex(LiveIndex):
    """Builds its new bases itself, by what `choose` says of the number of records and the dim."""

    def __init__(
        self, base: FrozenIndex, *, applied_seq: int = 0, choose: Callable[[int, int], IndexSpec] = choose_spec
    ) -> None:
        super().__init__(base, applied_seq=applied_seq)
        self.choose = choose

    def compact(self) -> None:
        """Build a base from the live records, and put it under the changes that came meanwhile."""
        before = self.state
        base = build(*live_rows(before), self.choose(before.count, before.base.dim), trained_from=before.base)
        self.rebase(base, before)
