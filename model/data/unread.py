"""Sentences that an encoder does not read to their end, so that what tells them apart may be lost."""

from collections.abc import Sequence

from model.config import Config
from model.contract.dataset import Row
from model.contract.normalise import WORD, normalise, script_runs
from model.contract.text import TextConfig, TextContract


def describe_unread(rows: Sequence[Row], config: Config) -> list[str]:
    """Sentences for the user if some rows are longer than the encoder reads, or have longer words.

    A word of training may be known as a whole, however long it is: the words of queries are not.
    """
    rules = TextConfig(max_tokens=config.max_tokens)
    contract = TextContract(rules, ())
    found = []
    cut = [row for row in rows if contract.is_cut(row.text)]
    if cut:
        found.append(
            f"{_share(cut, rows)} are longer than max_tokens={config.max_tokens} words or Chinese characters, "
            f"or than {rules.max_chars} characters, and are not read to their end: shorten them, or set a larger max_tokens"
        )
    longest = most_read(rules)
    having = [row for row in rows if _longest_word(row.text) > longest] if config.buckets else []
    if having:
        found.append(
            f"{_share(having, rows)} have a word of more than {longest} characters, and of a new one no more are read: "
            "in a script without spaces, such as Thai, put spaces between the words, in queries too"
        )
    return found


def most_read(rules: TextConfig) -> int:
    """Characters of an unknown word that its grams reach: the kept ones, from an edge mark on, are of the shortest."""
    return rules.most_grams + rules.word_grams[0] - 2


def _longest_word(text: str) -> int:
    return max((len(run) for kind, run in script_runs(normalise(text)) if kind == WORD), default=0)


def _share(some: Sequence[Row], rows: Sequence[Row]) -> str:
    return f"{len(some)} of {len(rows)} sentences (such as line {some[0].line})"
