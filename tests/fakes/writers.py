"""Clients that write until the server dies, and know afterwards what must be there."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

PLACE = "/v1/collections/faq"
WORDS = ("refund", "money", "back", "card", "login", "password", "order", "late", "cancel", "退款", "登录", "订单")

SURE = 0.9999
"""Least cosine of a text with itself; it is rounded, and summed in another order."""


def content(key: str, nonce: int) -> dict[str, Any]:
    """What a write stores: three fields that only agree with each other when they came together."""
    words = random.Random(f"{key} {nonce}").choices(WORDS, k=3)
    return {"text": f"{key} {nonce} {' '.join(words)}", "group": f"g{nonce % 7}", "metadata": {"nonce": nonce}}


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that writes.

    Attributes:
        changes: What it does, by record: the nonce of the new content, or None for a delete.
        statuses: What the server must say of each.
        idempotency_key: Of a batch; None for a PUT or a DELETE.
        visible: Whether it waits until searches see it.
    """

    changes: dict[str, int | None]
    statuses: list[int]
    idempotency_key: str | None
    visible: bool

    def send(self, client: httpx.Client) -> httpx.Response:
        """Do it."""
        parameters = {"wait": "visible"} if self.visible else {}
        if self.idempotency_key is not None:
            headers = {"Idempotency-Key": self.idempotency_key}
            return client.post(f"{PLACE}/records:batch", json=self._batch(), params=parameters, headers=headers)
        ((key, nonce),) = self.changes.items()
        path = f"{PLACE}/records/{key}"
        if nonce is None:
            return client.delete(path, params=parameters)
        return client.put(path, json=content(key, nonce), params=parameters)

    def check(self, answer: httpx.Response) -> None:
        """The answer is the right one."""
        if self.idempotency_key is None:
            assert [answer.status_code] == self.statuses, answer.text
        else:
            assert answer.status_code == 200, answer.text
            assert [item["status"] for item in answer.json()["items"]] == self.statuses, answer.text
        if self.visible and answer.content:
            assert answer.json()["visible"] is True

    def _batch(self) -> dict[str, Any]:
        upserts = [{"id": key, **content(key, nonce)} for key, nonce in self.changes.items() if nonce is not None]
        return {"upsert": upserts, "delete": [key for key, nonce in self.changes.items() if nonce is None]}


@dataclass(slots=True)
class Writer:
    """Writes to records of its own, one request after the other.

    Attributes:
        name: Its records' ids begin with it.
        rng: Decides what it does.
        records: What is acknowledged: the nonce of each record's content.
        gone: Records whose delete is acknowledged, and the nonce they had.
        unseen: Records whose last change searches may not show yet.
        doubt: The request that had no answer when the server died.
        batch: The last batch that was acknowledged.
        acknowledged: Requests.
    """

    name: str
    rng: random.Random
    n_keys: int = 60
    records: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    doubt: Operation | None = None
    batch: Operation | None = None
    acknowledged: int = 0
    _last_nonce: int = 0

    def write_until_it_dies(self, url: str) -> bool:
        """Write one request after the other; True when the server refused the last one, False when it is gone."""
        with httpx.Client(base_url=url, timeout=30) as client:
            while True:
                try:
                    if not self.write(client, self.next_operation()):
                        return True
                except httpx.TransportError:
                    return False

    def write(self, client: httpx.Client, operation: Operation) -> bool:
        """Do one thing; False when the server says that it did not."""
        self.doubt = operation
        answer = operation.send(client)
        if answer.status_code == 503:
            self.doubt = None
            return False
        operation.check(answer)
        self._acknowledge(operation)
        if operation.visible:
            self.check_searches(client, list(operation.changes))
        return True

    def check_searches(self, client: httpx.Client, keys: Iterable[str]) -> None:
        """Searches find these records if they are there, and do not if they are gone."""
        check_searches(client, self.records, self.gone, [key for key in keys if key not in self.unseen])

    def next_operation(self) -> Operation:
        """What it would like to do."""
        kind = self.rng.choices(("put", "delete", "batch"), (5, 2, 3))[0]
        if kind == "delete" and self.records:
            key = self.rng.choice(sorted(self.records))
            return Operation({key: None}, [204], None, self._visible())
        if kind == "batch":
            return self._some_batch()
        key = self._key()
        return Operation({key: self._nonce()}, [200 if key in self.records else 201], None, self._visible())

    def fill(self, client: httpx.Client, n: int) -> None:
        """Give n records a new content, in batches of 1,000."""
        for start in range(0, n, 1000):
            changes: dict[str, int | None] = {
                f"{self.name}{number}": self._nonce() for number in range(start, min(n, start + 1000))
            }
            assert self.write(client, self._batch_of(changes))

    def settle(self, client: httpx.Client, stored: Mapping[str, int]) -> None:
        """Find out what became of the request without an answer: all of it or nothing.

        That request, where it is a batch, and the last batch that was acknowledged, are repeated: each is done once and
        answered as if it had never come before, whatever was written since.
        """
        if self.batch is not None:
            self.batch.check(self.batch.send(client))
        operation = self.doubt
        if operation is None:
            return
        done = [stored.get(key) == nonce for key, nonce in operation.changes.items()]
        assert all(done) or not any(done), f"half of it is stored: {operation}"
        if operation.idempotency_key is not None:
            operation.check(operation.send(client))
        if all(done) or operation.idempotency_key is not None:
            self._acknowledge(operation)
        self.doubt = None

    def _some_batch(self) -> Operation:
        keys = dict.fromkeys(self._key() for _ in range(self.rng.randint(1, 30)))
        changes: dict[str, int | None] = {key: self._nonce() for key in keys}
        deletable = [key for key in self.records if key not in keys][:5]
        return self._batch_of({**changes, **dict.fromkeys(deletable)})

    def _batch_of(self, changes: dict[str, int | None]) -> Operation:
        statuses = [200 if key in self.records else 201 for key in changes]
        return Operation(changes, statuses, f"{self.name}-{self._nonce()}", self._visible())

    def _acknowledge(self, operation: Operation) -> None:
        self.doubt = None
        self.acknowledged += 1
        if operation.idempotency_key is not None:
            self.batch = operation
        if operation.visible:
            self.unseen.clear()
        else:
            self.unseen |= operation.changes.keys()
        for key, nonce in operation.changes.items():
            if nonce is None:
                self.gone[key] = self.records.pop(key)
            else:
                self.records[key] = nonce
                self.gone.pop(key, None)

    def _key(self) -> str:
        return f"{self.name}{self.rng.randrange(self.n_keys)}"

    def _nonce(self) -> int:
        self._last_nonce += 1
        return self._last_nonce

    def _visible(self) -> bool:
        return self.rng.random() < 0.2


def read_stored(client: httpx.Client) -> dict[str, int]:
    """Every record there is, each once and whole: the nonce of its content."""
    stored: dict[str, int] = {}
    for item in _list(client):
        nonce = item["metadata"]["nonce"]
        assert {name: item[name] for name in ("text", "group", "metadata")} == content(item["id"], nonce)
        assert item["id"] not in stored, f"{item['id']} is there twice"
        stored[item["id"]] = nonce
    return stored


def check_searches(
    client: httpx.Client, records: Mapping[str, int], gone: Mapping[str, int], keys: Iterable[str]
) -> None:
    """Searches for what these records say find them, each once, and none that is gone."""
    asked = [key for key in keys if key in records or key in gone]
    for start in range(0, len(asked), 256):
        part = asked[start : start + 256]
        texts = [content(key, records[key] if key in records else gone[key])["text"] for key in part]
        answer = client.post(f"{PLACE}:search", json={"queries": texts, "k": 10})
        assert answer.status_code == 200, answer.text
        for key, text, neighbours in zip(part, texts, answer.json()["results"], strict=True):
            found = {one["id"]: (one["text"], one["score"]) for one in neighbours}
            assert len(found) == len(neighbours), f"one is there twice: {neighbours}"
            if key in records:
                assert key in found, f"{key} is not found: {neighbours}"
                assert found[key][0] == text
                assert found[key][1] >= SURE, f"{key} is found by another text's vector"
            else:
                assert key not in found, f"{key} was deleted"


def _list(client: httpx.Client) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        parameters = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
        page = client.get(f"{PLACE}/records", params=parameters).json()
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
