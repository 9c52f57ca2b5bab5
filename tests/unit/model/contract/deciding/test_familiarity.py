"""What an encoder knows of a text, against sentences that it is told to have learnt from."""

from pathlib import Path

import numpy as np
import pytest

from model.contract.bundle import load_bundle
from model.contract.deciding.familiarity import Familiarity
from model.contract.errors import BundleDamagedError
from model.contract.grams import fnv1a_32
from model.contract.text import TextConfig, TextContract
from tests.fakes.changed_bundle import replace_file
from tests.fakes.tiny_bundle import make_tiny_bundle

SENTENCES = ["I want a refund", "cancel my order, please", "history of orders", "取消订单 now?"]
CONTRACT = TextContract(TextConfig(), ["my", "a", "?", "取", "单"])
KNOWN = Familiarity.of(CONTRACT, SENTENCES)


@pytest.mark.parametrize("text", ["my", "MY!", "qq my", "单", "怎么取", "refund", "refnd", "cancelling", "orderz"])
def test_words_of_training_and_what_is_like_them_are_known(text: str) -> None:
    assert KNOWN.knows(text)


@pytest.mark.parametrize(
    "text", ["", "?", "!!", "qq", "hi", "x", "PC", "¥¥", "龍", "您好", "Привет", "1234567", "zzzzzzzz"]
)
def test_other_scripts_single_letters_and_symbols_are_not(text: str) -> None:
    """`<hi` is a gram of "history" too: one gram is no knowledge. "?" was in training, and says nothing."""
    assert not KNOWN.knows(text)


def test_grams_are_those_of_marked_words_and_runs() -> None:
    words = {word for text in SENTENCES[:3] for word in text.lower().replace(",", "").split()} | {"now"}
    marked = [(f"<{word}>", (3, 4, 5)) for word in words] + [("<取消订单>", (2,))]
    grams = {text[i : i + n] for text, sizes in marked for n in sizes for i in range(len(text) - n + 1)}
    assert KNOWN.gram_hashes.tolist() == sorted({fnv1a_32(gram.encode()) for gram in grams})
    assert KNOWN.gram_hashes.dtype == np.uint32


def test_a_bundle_says_what_it_knows_and_one_without_the_file_knows_all(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "old")
    make_tiny_bundle(tmp_path / "new", familiar=SENTENCES)
    old, new = load_bundle(tmp_path / "old"), load_bundle(tmp_path / "new")
    assert (old.knows("qq"), new.knows("qq"), new.knows("refund")) == (True, False, True)
    replace_file(tmp_path / "new" / "grams.npy", b"torn")
    with pytest.raises(BundleDamagedError, match=r"grams\.npy cannot be read"):
        load_bundle(tmp_path / "new")
