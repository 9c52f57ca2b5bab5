"""The vocabulary: which words and characters of the training sentences get a row of their own."""

from collections import Counter
from collections.abc import Iterable

from model.config import Config
from model.contract.normalise import CJK, normalise, script_runs
from model.contract.text import TextConfig, TextContract


def build_contract(sentences: Iterable[str], config: Config) -> TextContract:
    """Count the training sentences' tokens and keep the frequent ones, most frequent first.

    Only training sentences may be given: a vocabulary that has seen the held-out ones flatters them.
    """
    words: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    rules = TextConfig(max_tokens=config.max_tokens, buckets=config.buckets)
    for sentence in sentences:
        for kind, run in script_runs(normalise(sentence[: rules.max_chars])):
            if kind == CJK:
                characters.update(run)
            else:
                words[run] += 1
    kept = [(count, token) for token, count in words.items() if count >= config.min_frequency]
    kept += [(count, token) for token, count in characters.items() if count >= config.min_frequency_cjk]
    kept.sort(key=lambda entry: (-entry[0], entry[1]))
    return TextContract(rules, [token for _, token in kept])
