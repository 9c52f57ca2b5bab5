"""Type checkers see the right signature of each method in both clients."""

import subprocess
import sys
from pathlib import Path

import pytest

RIGHT = """
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, assert_type

from samesay import AsyncClient, Client, Job
from samesay.answers import CollectionState, Record, SearchResult, Switched
from samesay.transports import AsyncTransport, SyncTransport


def blocking(client: Client) -> None:
    faq = client.collection("faq")
    assert_type(faq.search("x", k=3), SearchResult)
    assert_type(faq.records.list(), Iterator[Record])
    assert_type(client.collections.list(), Iterator[CollectionState])
    assert_type(faq.retrain(promote="auto"), Job[SyncTransport])
    assert_type(faq.retrain().wait(timeout=3).state == "succeeded", bool)
    assert_type(faq.releases.promote(2), Switched | Job[SyncTransport])
    assert_type(client.jobs.list(), Iterator[Job[SyncTransport]])
    assert_type(faq.export().download("x"), Path)


async def awaited(client: AsyncClient) -> None:
    faq = client.collection("faq")
    assert_type(await faq.search("x", k=3), SearchResult)
    assert_type(faq.records.list(page_size=3), AsyncIterator[Record])
    job = await faq.retrain()
    assert_type(job, Job[AsyncTransport])
    assert_type(await job.wait(), Job[AsyncTransport])
    assert_type(client.jobs.list(), AsyncIterator[Job[AsyncTransport]])
"""
WRONG = """
from samesay import Client

faq = Client().collection("faq")
faq.search(3)
faq.search("x", nonsense=1)
faq.retrain(promote="maybe")
faq.records.put("r1")
faq.classify("x").results[0].decision == "perhaps"
"""


@pytest.mark.slow
def test_both_clients_are_typed(tmp_path: Path) -> None:
    assert _complaints(tmp_path, RIGHT) == []
    assert _complaints(tmp_path, WRONG) == [5, 6, 7, 8, 9]


def _complaints(folder: Path, code: str) -> list[int]:
    """Lines that mypy complains of."""
    file = folder / "checked.py"
    file.write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    complaints = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert all(line.startswith(str(file)) for line in complaints), done.stdout
    return [int(line.split(":")[1]) for line in complaints]
