"""How fast the trainer learns, against the plain loop one would write first: one thread, paired runs.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_speed [--data banking77] [--pairs 3]

The plain loop has the same encoder, loss and batch size. It shuffles sentences, turns them into tokens and grams anew
in every epoch, looks up every occurrence of a token, and lets Adam run as torch sets it up.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from torch import nn

from benchmarks.data import data_folder
from model.callbacks.interface import Callback, TrainingRun
from model.config import make_config
from model.contract.text import PAD_ID, TextContract, Tokens
from model.data.features import Batch
from model.data.training_data import Files, TrainingData, load_training_data
from model.data.vocabulary import build_contract
from model.encoder import SentenceEncoder
from model.heads.class_head import ClassHead
from model.losses.am_softmax import am_softmax_logits
from model.losses.cross_entropy import cross_entropy
from model.training.loop import train

EPOCHS = 2


class Stopwatch(Callback):
    """CPU time of the batches alone, without checkpoints between epochs."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0

    def on_epoch_begin(self, run: TrainingRun) -> None:
        """Start."""
        self._begin = time.process_time()

    def on_batch_end(self, run: TrainingRun) -> None:
        """Stop after the last one."""
        if run.state.position.batch == len(run.state.plan):
            self.seconds += time.process_time() - self._begin


def ours(data: TrainingData) -> float:
    """Sentences a CPU second of the trainer."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        train(data, 0, Path(folder), callbacks=[watch])
    return EPOCHS * len(data.train) / watch.seconds


def plain(data: TrainingData) -> float:
    """Sentences a CPU second of the plain loop."""
    torch.manual_seed(0)
    config = data.config
    texts = [row.text for row in data.train]
    rules = build_contract(texts, config)
    encoder = SentenceEncoder(rules.n_ids, config)
    head = ClassHead(len(data.labels), encoder.dim)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)
    labels = torch.from_numpy(data.train_indices)
    rng = np.random.default_rng(0)
    started = time.process_time()
    for _ in range(EPOCHS):
        contract = TextContract(rules.config, rules.vocabulary)  # forgets the words of the epoch before
        order = rng.permutation(len(texts))
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            batch = every_occurrence([contract.tokenise(texts[row]) for row in rows])
            logits = am_softmax_logits(
                head.cosines(encoder(batch)), labels[rows], margin=config.margin, scale=config.scale
            )
            loss = cross_entropy(logits, labels[rows]).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, config.clip_norm)
            optimiser.step()
    return EPOCHS * len(texts) / (time.process_time() - started)


def every_occurrence(sentences: list[Tokens]) -> Batch:
    """A batch in which each token stands as often as it occurs."""
    ids, grams, positions = [PAD_ID], [np.empty(0, np.int32)], np.zeros((len(sentences), max(map(len, sentences))), int)
    for row, tokens in enumerate(sentences):
        positions[row, : len(tokens)] = np.arange(len(ids), len(ids) + len(tokens))
        ids += tokens.ids
        grams += [np.frombuffer(packed, np.int32) for packed in tokens.grams]
    counts = np.array([len(each) for each in grams])
    scale = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0).astype(np.float32)
    return Batch(
        token_ids=torch.tensor(ids),
        grams=torch.from_numpy(np.concatenate(grams).astype(np.int64)),
        gram_offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]])),
        gram_scale=torch.from_numpy(scale)[:, None],
        positions=torch.from_numpy(positions),
        lengths=torch.tensor([len(tokens) for tokens in sentences]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = data_folder() / options.data
    config = make_config("default", [f"epochs={EPOCHS}", "refit=false", "threads=1"])
    loaded = load_training_data(Files(folder / "train.tsv", folder / "valid.tsv"), config, 0)
    data = TrainingData(
        loaded.train, [], [], loaded.labels, loaded.train_indices, loaded.config, fingerprint=loaded.fingerprint
    )
    ratios = []
    for number in range(options.pairs):
        pair = (ours(data), plain(data)) if number % 2 == 0 else tuple(reversed((plain(data), ours(data))))
        ratios.append(pair[0] / pair[1])
        print(f"trainer {pair[0]:,.0f} sentences/s, plain loop {pair[1]:,.0f}, ratio {ratios[-1]:.2f}", flush=True)
    spread = stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
    print(f"ratio {mean(ratios):.2f}, standard error {spread:.2f} over {len(ratios)} pairs; target 1.3")


if __name__ == "__main__":
    main()
