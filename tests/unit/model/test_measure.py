"""What held-out rows say of an encoder, of which some have no other row in their group."""

import numpy as np
import pytest
import torch

from model.config import Config, Objective
from model.contract.dataset import Row
from model.contract.deciding.decision import Outcome
from model.contract.text import TextConfig, TextContract
from model.data.strangers import ENOUGH
from model.data.training_data import TrainingData
from model.encoder import SentenceEncoder
from model.measure import measure_held_out
from model.objectives.in_batch import InBatchObjective
from model.report.gather import gather
from model.training.loop import Trained

WORDS = [f"word{letter}" for letter in "abcdefghijklmnop"]


def rows_of(pairs: list[tuple[str, str]]) -> list[Row]:
    return [Row(line=line, text=text, group=group) for line, (text, group) in enumerate(pairs, start=2)]


def trained_on(data: TrainingData) -> Trained:
    """An encoder as it begins: of two texts written alike, each is the other's nearest."""
    torch.manual_seed(0)
    contract = TextContract(TextConfig(buckets=256), WORDS)
    encoder = SentenceEncoder(contract.n_ids, data.config).eval()
    return Trained(contract, encoder, InBatchObjective(data, []), "hit_rate@1", 1)


@pytest.mark.parametrize("strangers", [[], ["zulu", "yankee"], ["zulu"] * ENOUGH])
def test_what_has_no_answer_tells_nothing_of_the_answers(strangers: list[str]) -> None:
    train = rows_of([(f"{word} train", f"t{number // 2}") for number, word in enumerate(WORDS[:8])])
    asked = [(text, f"v{number}") for number, word in enumerate(WORDS[8:12]) for text in (word, f"{word}!")]
    lonely = [(word, f"lonely {word}") for word in WORDS[12:]]
    config = Config(objective=Objective.IN_BATCH, word_dim=16, hidden_size=16, buckets=256)
    labels = [f"t{number}" for number in range(4)]
    data = TrainingData(train, rows_of([*asked, *lonely]), strangers, labels, np.arange(8) // 2, config)
    measured = measure_held_out(trained_on(data), data)
    assert measured.metrics["hit_rate@1"] == 1.0
    assert measured.answers is not None
    assert len(measured.answers.decisions) == len(asked)
    answered = [decision.outcome is Outcome.MATCHED for decision in measured.answers.decisions]
    assert measured.metrics["in_scope_accuracy"] == np.mean(answered) >= 0.75  # the best group is always right
    made = 0 if len(strangers) >= ENOUGH else ENOUGH - len(strangers)
    assert measured.answers.n_made == made
    assert len(measured.answers.strangers) == (len(strangers) or made)
    assert ("oos_recall" in measured.metrics) == bool(strangers)
    report = gather(data, measured.answers, epochs=[], decision=measured.decision, metrics=measured.metrics, seconds={})
    assert report.calibration is not None
    assert report.calibration.ece == pytest.approx(measured.metrics["ece"])
    assert report.calibration.n == len(asked) + (len(strangers) or made)


def test_sentences_of_one_word_are_measured_though_no_stranger_can_be_made() -> None:
    pairs = [(f"{word}{end}", f"g{number}") for number, word in enumerate(WORDS) for end in ("x", "y")]
    config = Config(objective=Objective.IN_BATCH, word_dim=16, hidden_size=16, buckets=256)
    labels = [f"g{number}" for number in range(8)]
    data = TrainingData(rows_of(pairs[:16]), rows_of(pairs[16:]), [], labels, np.arange(16) // 2, config)
    measured = measure_held_out(trained_on(data), data)
    assert measured.answers is not None
    assert (measured.answers.n_made, measured.answers.strangers) == (0, ())
    assert 0 <= measured.metrics["in_scope_accuracy"] <= 1
