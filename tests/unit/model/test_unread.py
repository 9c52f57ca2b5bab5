"""Sentences that the encoder does not read to their end are told, those that it reads are not."""

from pathlib import Path

import pytest

from model.config import Config, make_config
from model.contract.text import TextConfig, TextContract
from model.data.training_data import Files, load_training_data
from model.data.unread import most_read

ENDS = ("ราคา", "คืนเงิน", "จัดส่ง", "เปลี่ยน")


def load(tmp_path: Path, sentences: list[str], config: Config) -> str:
    path = tmp_path / "a.tsv"
    path.write_text("group\ttext\n" + "".join(f"g{n % 3}\t{text}\n" for n, text in enumerate(sentences)))
    return "\n".join(load_training_data(Files(path), config, seed=0).findings)


def test_long_sentences_are_told(tmp_path: Path) -> None:
    sentences = [f"{'word ' * 63}{number}" for number in range(9)] + ["很" * 65, "word " * 65, "short"]
    told = load(tmp_path, sentences, Config())
    assert "2 of 12 sentences (such as line 11) are longer than max_tokens=64" in told
    assert "longer than max_tokens" not in load(tmp_path, sentences, make_config("default", ["max_tokens=65"]))


def test_long_words_are_told(tmp_path: Path) -> None:
    sentences = [f"ผมอยากทราบรายละเอียดเกี่ยวกับ{end}" for end in ENDS]
    contract = TextContract(TextConfig(), ())
    assert len({str(contract.tokenise(sentence)) for sentence in sentences}) == 1  # the encoder cannot tell them apart
    many = [*(f"sentence {number}" for number in range(8)), *sentences]
    told = load(tmp_path, many, Config())
    assert "4 of 12 sentences (such as line 10) have a word of more than 25 characters" in told
    spaced = [sentence.replace("เกี่ยวกับ", " เกี่ยวกับ ") for sentence in many]
    assert "have a word of" not in load(tmp_path, spaced, Config())


@pytest.mark.parametrize("least", [2, 3])
def test_so_many_characters_of_a_word_are_read(least: int) -> None:
    rules = TextConfig(word_grams=(least, 5))
    contract, most = TextContract(rules, ()), most_read(rules)
    word = "abcdefghijklmnopqrstuvwxyz" * 2
    assert contract.tokenise(word[:most] + "1234").grams == contract.tokenise(word[:most] + "5678").grams
    assert contract.tokenise(word[: most - 1] + "12345").grams != contract.tokenise(word[: most - 1] + "56785").grams
