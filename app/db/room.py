"""Room for a bounded number of units of work that wait or run."""

import threading


class Room:
    """Counted places, for any thread.

    Args:
        size: How many there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many are taken now."""
        return self._taken

    def take(self) -> bool:
        """Take a place, or say that there is none."""
        with self._lock:
            if self._taken == self.size:
                return False
            self._taken += 1
            return True

    def give_back(self) -> None:
        """Let another have the place."""
        with self._lock:
            self._taken -= 1
