"""The soak in short, and its judgement of growth."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.growth import Sample, grew, slope_mb_a_minute

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_short_soak_finds_nothing_wrong() -> None:
    """So short that the memory is still warming up; what the answers say counts."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.33", "--swaps", "3", "--tolerance-mb", "100"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "0 wrong answers or errors" in done.stdout, done.stdout + done.stderr
    searches = re.search(r"^search +([\d,]+) ", done.stdout, re.MULTILINE)
    assert searches is not None
    assert int(searches[1].replace(",", "")) > 100
    assert re.search(r"^3 snapshot swaps: RSS ", done.stdout, re.MULTILINE)
    assert (done.returncode, "GREW" in done.stdout) == (0, False), done.stdout


def samples(rss_mb: list[float], n_files: list[int] | None = None) -> list[Sample]:
    """Looks ten seconds apart."""
    return [
        Sample(
            at_s=10.0 * number,
            rss_bytes=round(each * 2**20),
            n_files=n_files[number] if n_files else 20,
            n_threads=10,
            n_gone=0,
            n_snapshots=2,
        )
        for number, each in enumerate(rss_mb)
    ]


def test_a_warm_up_is_no_growth_and_a_leak_is() -> None:
    warm_up = [100 + 10 * min(number, 25) for number in range(100)]
    assert grew(samples(warm_up)) == []
    assert slope_mb_a_minute(samples(warm_up)) == pytest.approx(0, abs=1e-6)
    leak = [350 + 0.5 * number for number in range(100)]  # 3 MB a minute: 30 MB from the warm-up to the end
    assert grew(samples(leak)) == ["RSS"]
    assert slope_mb_a_minute(samples(leak)) == pytest.approx(3)


def test_descriptors_that_are_never_closed_are_growth() -> None:
    assert grew(samples([350.0] * 100, n_files=[20 + number for number in range(100)])) == ["descriptors"]
    assert grew(samples([350.0] * 100, n_files=[20 + number % 7 for number in range(100)])) == []
