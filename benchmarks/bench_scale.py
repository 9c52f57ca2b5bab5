"""What a training step costs with few groups and with very many: CPU time and peak memory, one thread.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_scale [--groups 1000 100000]

Each size runs in a process of its own, so that its peak memory is its own: sentences, features, weights, optimisers.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import nn

from benchmarks.data import data_folder
from benchmarks.texts import read_texts
from model.config import Config
from model.data.batching import length_batches
from model.data.features import FeatureTable
from model.data.vocabulary import build_contract
from model.encoder import SentenceEncoder
from model.heads.sampled_head import SampledHead
from model.losses.am_softmax import am_softmax_logits
from model.losses.cross_entropy import cross_entropy

SENTENCES_PER_GROUP = 4
WORDS_PER_SENTENCE = 8
WARM_UP_STEPS = 20
KIB_PER_GB = 1e9 / 1024


def synthetic_sentences(texts: list[str], n_groups: int, seed: int = 0) -> Iterator[str]:
    """Groups of four sentences one after the other: the words of a base drawn from the texts, each some of them."""
    words = [word for text in texts for word in text.split()]
    rng = np.random.default_rng(seed)
    for _ in range(n_groups):
        base = rng.integers(len(words), size=WORDS_PER_SENTENCE + 2)
        for _ in range(SENTENCES_PER_GROUP):
            yield " ".join(words[at] for at in rng.permutation(base)[:WORDS_PER_SENTENCE])


class Training:
    """Encoder, sampled head and their optimisers at the default sizes."""

    def __init__(self, texts: list[str], n_groups: int, n_negatives: int) -> None:
        self.config = config = Config()
        contract = build_contract(synthetic_sentences(texts, n_groups), config)
        self.n_ids = contract.n_ids
        self.table = FeatureTable(contract.tokenise(text) for text in synthetic_sentences(texts, n_groups))
        self.labels = torch.arange(len(self.table)) // SENTENCES_PER_GROUP
        self.encoder = SentenceEncoder(contract.n_ids, config)
        self.head = SampledHead(n_groups, self.encoder.dim, n_negatives=n_negatives, seed=0)
        # fused: at 25,000 words the plain form takes eight times as long, for its many passes over the tables
        self.dense = torch.optim.Adam(self.encoder.parameters(), lr=config.learning_rate, fused=True)
        self.sparse = torch.optim.SparseAdam(self.head.parameters(), lr=config.learning_rate)

    def step(self, rows: np.ndarray) -> None:
        """One step as the trainer takes it."""
        scored = self.head(self.encoder(self.table.batch(rows)), self.labels[rows])
        margin, scale = self.config.margin, self.config.scale
        logits = am_softmax_logits(scored.cosines, scored.targets, margin=margin, scale=scale)
        loss = cross_entropy(logits, scored.targets).mean()
        for optimiser in (self.dense, self.sparse):
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.encoder.parameters(), self.config.clip_norm)
        self.dense.step()
        self.sparse.step()  # type: ignore[no-untyped-call]


def measure(texts: list[str], n_groups: int, n_negatives: int, steps: int) -> dict[str, float]:
    """Prepare and train for some steps; seconds and milliseconds are CPU time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    started = time.process_time()
    training = Training(texts, n_groups, n_negatives)
    prepared_s = time.process_time() - started
    times = []
    plan = length_batches(training.table.lengths, training.config.batch_size, np.random.default_rng(0))
    for rows in islice(plan, steps + WARM_UP_STEPS):
        started = time.process_time()
        training.step(rows)
        times.append(time.process_time() - started)
    return {
        "groups": n_groups,
        "sentences": len(training.table),
        "words": training.n_ids,
        "prepared_s": prepared_s,
        "step_ms": float(np.median(times[WARM_UP_STEPS:])) * 1e3,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, nargs="+", default=[1000, 100_000], help="numbers of groups")
    parser.add_argument("--negatives", type=int, default=1000, help="groups drawn a step beside the batch's own")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--data", default="goemotions", help="data set that the words come from")
    parser.add_argument("--json", action="store_true", help="measure here, the first size only, and print JSON")
    options = parser.parse_args()
    texts = read_texts(data_folder() / options.data / "train.tsv")
    if options.json:
        print(json.dumps(measure(texts, options.groups[0], options.negatives, options.steps)))
        return
    results = [_in_a_process(options, n_groups) for n_groups in options.groups]
    print(f"{'groups':>9} {'sentences':>9} {'words':>8} {'prepared':>9} {'step':>9} {'ratio':>6} {'peak memory':>12}")
    for result in results:
        ratio = result["step_ms"] / results[0]["step_ms"]
        print(
            f"{result['groups']:9,} {result['sentences']:9,} {result['words']:8,} {result['prepared_s']:7.1f} s "
            f"{result['step_ms']:6.1f} ms {ratio:6.2f} {result['peak_gb']:9.2f} GB"
        )


def _in_a_process(options: argparse.Namespace, n_groups: int) -> dict[str, float]:
    sizes = ["--groups", n_groups, "--negatives", options.negatives, "--steps", options.steps, "--data", options.data]
    command = [sys.executable, "-m", "benchmarks.bench_scale", *map(str, sizes), "--json"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(printed)
    return result


if __name__ == "__main__":
    main()
