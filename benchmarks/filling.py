"""Stores sentences in a collection of a running server, and waits until searches find them all."""

import time
from collections.abc import Sequence

import httpx

COLLECTION = "bench"
PATH = f"/v1/collections/{COLLECTION}"
BATCH = 1_000


def create(url: str) -> None:
    """Make the collection, with the encoder that is registered as `bench`."""
    httpx.post(f"{url}/v1/collections", json={"name": COLLECTION, "encoder": "bench"}).raise_for_status()


def fill(url: str, texts: Sequence[str], first: int = 0) -> None:
    """Store sentences by records:batch, with their numbers as ids, and wait until all of them are searchable.

    Args:
        url: Of the server.
        texts: The sentences.
        first: Number of the first one.
    """
    with httpx.Client(base_url=url, timeout=120) as client:
        for start in range(0, len(texts), BATCH):
            part = enumerate(texts[start : start + BATCH], first + start)
            body = {"upsert": [{"id": str(number), "text": text} for number, text in part]}
            client.post(f"{PATH}/records:batch", json=body).raise_for_status()
        wait_until_visible(client)


def wait_until_visible(client: httpx.Client, *, timeout_s: float = 1800) -> None:
    """Wait until the follower has applied every change."""
    deadline = time.monotonic() + timeout_s
    while (state := client.get(PATH).raise_for_status().json())["visible_seq"] < state["last_seq"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"searches see {state['visible_seq']} of {state['last_seq']} changes")
        time.sleep(0.05)
