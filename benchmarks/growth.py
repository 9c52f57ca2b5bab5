"""A process looked at again and again: memory, descriptors, threads, snapshots; and whether it grew."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil  # type: ignore[import-untyped]

WARM_UP = 0.3
"""Share of the looks that are left out: caches fill, allocators learn."""

TOLERANCE = 0.05
TOLERANCE_MB = 8.0
"""RSS at the end may be higher than after the warm-up by this share and so many megabytes."""

TOLERANCE_COUNT = 16
"""Descriptors and threads come and go with connections and pools; a leak of one a swap does not stop here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A process at one moment.

    Attributes:
        at_s: Since the first look.
        rss_bytes: Memory, with the pages of mapped files that are in it.
        n_files, n_threads: Open descriptors and threads.
        n_gone: Mapped files that are deleted already: their space is not free.
        n_snapshots: Snapshot folders on the disk.
    """

    at_s: float
    rss_bytes: int
    n_files: int
    n_threads: int
    n_gone: int
    n_snapshots: int


class Watch:
    """Looks at a process.

    Args:
        process: Whose memory.
        data: Its data folder.
    """

    def __init__(self, process: "psutil.Process", data: Path) -> None:
        self._process = process
        self._data = data
        self._started = time.monotonic()

    def look(self) -> Sample:
        """Take a sample."""
        maps = Path(f"/proc/{self._process.pid}/maps")
        return Sample(
            at_s=time.monotonic() - self._started,
            rss_bytes=self._process.memory_info().rss,
            n_files=self._process.num_fds(),
            n_threads=self._process.num_threads(),
            n_gone=maps.read_text().count("(deleted)") if maps.exists() else 0,
            n_snapshots=len(list(self._data.glob("collections/*/releases/*/snapshots/[0-9]*"))),
        )


def show(name: str, samples: list[Sample], tolerance_bytes: float) -> bool:
    """Print a line on how the process developed; True when it grew past a tolerance."""
    if len(samples) < 3:
        print(f"{name}: {len(samples)} looks are too few to judge")
        return True
    first, last = _ends(samples)
    grown = grew(samples, tolerance_bytes)
    print(
        f"{name}: RSS {_mb(first, 'rss_bytes'):.1f} MB after the warm-up, {_mb(last, 'rss_bytes'):.1f} MB at the end, "
        f"{slope_mb_a_minute(samples):+.2f} MB a minute over {samples[-1].at_s - samples[0].at_s:.0f} s; "
        + ", ".join(f"{what} {_middle(first, field):.0f} -> {_middle(last, field):.0f}" for field, what in _COUNTS)
        + ("" if not grown else f"; GREW: {', '.join(grown)}")
    )
    return bool(grown)


_COUNTS = (
    ("n_files", "descriptors"),
    ("n_threads", "threads"),
    ("n_gone", "deleted files mapped"),
    ("n_snapshots", "snapshots on disk"),
)


def grew(samples: list[Sample], tolerance_bytes: float = TOLERANCE_MB * 2**20) -> list[str]:
    """What is higher at the end than after the warm-up by more than the tolerance."""
    first, last = _ends(samples)
    before, after = _middle(first, "rss_bytes"), _middle(last, "rss_bytes")
    grown = ["RSS"] if after > before * (1 + TOLERANCE) + tolerance_bytes else []
    counts = [what for field, what in _COUNTS if _middle(last, field) > _middle(first, field) + TOLERANCE_COUNT]
    return grown + counts


def slope_mb_a_minute(samples: list[Sample]) -> float:
    """Least squares over what comes after the warm-up."""
    rest = samples[int(WARM_UP * len(samples)) :]
    slope = np.polyfit([sample.at_s / 60 for sample in rest], [sample.rss_bytes / 2**20 for sample in rest], 1)[0]
    return float(slope)


def _ends(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The tenth that follows the warm-up, and the last tenth."""
    tenth = max(1, len(samples) // 10)
    start = int(WARM_UP * len(samples))
    return samples[start : start + tenth], samples[-tenth:]


def _middle(samples: list[Sample], field: str) -> float:
    return float(median(getattr(sample, field) for sample in samples))


def _mb(samples: list[Sample], field: str) -> float:
    return _middle(samples, field) / 2**20
