"""`samesay import` of a file until searches find all of it: records a second, both CPUs free to use.

python -m benchmarks.bench_import --bundle RUN/bundle --texts FILE
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.server import add_encoder, samesay_server, wait_until_compacted
from benchmarks.texts import many_texts, read_texts


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        file, data = Path(folder, "texts.tsv"), Path(folder, "data")
        texts = many_texts(read_texts(arguments.texts), arguments.records)
        lines = (f"g{number % 997}\t{text}\n" for number, text in enumerate(texts))
        file.write_text("group\ttext\n" + "".join(lines), encoding="utf-8")
        add_encoder(arguments.bundle, data)
        with samesay_server(data, cpu=None) as server:
            body = {"name": "bench", "encoder": "bench"}
            httpx.post(f"{server.url}/v1/collections", json=body).raise_for_status()
            seconds = _import(file, server.url)
            cpu_s = server.cpu_s()
            started = time.perf_counter()
            wait_until_compacted(server.url, "bench")
            compacted_s = seconds + time.perf_counter() - started
            rss = server.process.memory_info().rss / 2**20
    print(
        json.dumps(
            {
                "records": len(texts),
                "seconds": round(seconds, 1),
                "records_per_s": round(len(texts) / seconds),
                "server_cpu_s": round(cpu_s, 1),
                "seconds_until_compacted": round(compacted_s, 1),
                "rss_mb": round(rss),
            }
        )
    )


def _import(file: Path, url: str) -> float:
    """Run the command as a user would; wall time from start to exit, Python's own start included."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "app", "import", "bench", str(file), "--url", url]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - started


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
