"""zvec in a process: python -m benchmarks.peers.zvec_worker FOLDER EF K; commands on stdin, answers on stdout, in JSON.

Runs in the peers' Python: NumPy, zvec and the standard library only.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 1_000

zvec: Any = import_module("zvec")


class Worker:
    """A collection in a folder, with the vectors and texts that lie there.

    Args:
        folder: With vectors.npy, queries.npy and texts.json; the collection is made in it.
        ef: Candidates of a search.
        k: Neighbours of a query.
    """

    def __init__(self, folder: Path, ef: int, k: int) -> None:
        self._folder = folder
        self._k = k
        self._queries = np.load(folder / "queries.npy", mmap_mode="r")
        self._param = zvec.HnswQueryParam(ef=ef)
        path = folder / "collection"
        self._collection = zvec.open(str(path)) if path.exists() else self._create(path)

    def answer(self, command: str, n: int) -> object:
        """Do what is asked for."""
        if command == "load":
            self._load()
            return None
        if command == "optimize":
            self._optimize()
            return None
        if command == "neighbours":
            return [self._search(row)[0] for row in range(n)]
        return [self._search(row % len(self._queries))[1] for row in range(n)]

    def close(self) -> None:
        """Write what is not written."""
        self._collection.flush()

    def _create(self, path: Path) -> Any:
        # its own defaults, 50 and 500, build five times slower
        index = zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200)
        schema = zvec.CollectionSchema(
            name="bench",
            fields=[zvec.FieldSchema("text", zvec.DataType.STRING)],
            vectors=[zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, self._queries.shape[1], index)],
        )
        return zvec.create_and_open(str(path), schema)

    def _load(self) -> None:
        vectors = np.load(self._folder / "vectors.npy", mmap_mode="r")
        texts = json.loads((self._folder / "texts.json").read_text())
        for start in range(0, len(texts), BATCH):
            part = range(start, min(start + BATCH, len(texts)))
            docs = [zvec.Doc(str(row), vectors={"vector": vectors[row]}, fields={"text": texts[row]}) for row in part]
            failed = [status for status in self._collection.insert(docs) if not status.ok()]
            if failed:
                raise RuntimeError(failed[0])
        self._collection.flush()

    def _optimize(self) -> None:
        self._collection.optimize()
        self._collection.flush()

    def _search(self, row: int) -> tuple[list[int], float]:
        """Record ids, and the seconds that finding them took."""
        vector = self._queries[row]
        started = time.perf_counter()
        query = zvec.Query(field_name="vector", vector=vector, param=self._param)
        found = self._collection.query(queries=query, topk=self._k, output_fields=["text"])
        seconds = time.perf_counter() - started
        return [int(doc.id) for doc in found], seconds


def main() -> None:
    folder, ef, k = sys.argv[1:]
    zvec.init(query_threads=1, optimize_threads=1)
    worker = Worker(Path(folder), int(ef), int(k))
    for line in sys.stdin:
        answer = worker.answer(*json.loads(line))
        print(json.dumps(answer), flush=True)
    worker.close()


if __name__ == "__main__":
    main()
