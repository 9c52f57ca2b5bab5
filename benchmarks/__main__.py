"""`make bench`: every measurement in turn; `python -m benchmarks NAME ...` runs one with its own options."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.data import data_folder

NAMES = (
    "train",
    "speed",
    "scale",
    "methods",
    "newcomers",
    "gate",
    "encode",
    "index",
    "http",
    "import",
    "writes",
    "live",
    "replicas",
    "milvus",
    "backup",
    "peers",
    "access",
    "swap",
)


def main() -> None:
    if len(sys.argv) > 1:
        name, *options = sys.argv[1:]
        if name not in NAMES:
            sys.exit(f"there is no measurement {name!r}, only {', '.join(NAMES)}")
        sys.exit(run(name, options))
    data = data_folder() / "banking77"
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(data, Path(folder))
        texts = ["--bundle", str(bundle), "--texts", str(data / "train.tsv")]
        codes = [
            run("train", []),
            run("encode", ["--bundle", str(bundle)]),
            run("index", []),
            run("http", texts),
            run("import", ["--bundle", str(bundle), "--records", "200000"]),
            run("writes", ["--bundle", str(bundle)]),
            run("access", []),
        ]
    sys.exit(max(codes))


def train(data: Path, folder: Path) -> Path:
    """The bundle that the speed measurements use."""
    command = [sys.executable, "-m", "model", "train", str(data / "train.tsv"), "--out", str(folder / "run")]
    subprocess.run([*command, "--valid", str(data / "valid.tsv")], check=True, stderr=subprocess.DEVNULL)
    return folder / "run" / "bundle"


def run(name: str, options: list[str]) -> int:
    """One measurement in a process of its own."""
    print(f"\n== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}", *options], check=False).returncode


if __name__ == "__main__":
    main()
