"""Where the public data sets lie, and how a benchmark skips when they do not."""

import os
import sys
from pathlib import Path


def data_folder() -> Path:
    """The folder in SAMESAY_BENCH_DATA; without it the benchmark says so and ends."""
    folder = os.environ.get("SAMESAY_BENCH_DATA")
    if not folder or not Path(folder).is_dir():
        print("skipped: set SAMESAY_BENCH_DATA to the folder of the public data sets (docs/benchmarks.md)")
        sys.exit(0)
    return Path(folder)


def read_texts(path: Path) -> list[str]:
    """The text column of a TSV file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    column = lines[0].split("\t").index("text")
    return [line.split("\t")[column] for line in lines[1:]]
