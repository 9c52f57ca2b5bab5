"""The sample data keeps what it promises: languages, sizes, no sentence twice."""

from collections import Counter
from pathlib import Path

from model.contract.dataset import read_rows, text_key

SAMPLES = Path(__file__).parents[2] / "samples"
FAQ = read_rows(SAMPLES / "faq.tsv", need=["group", "title"])
QUERIES = read_rows(SAMPLES / "queries.tsv", need=["group"])
STRANGERS = read_rows(SAMPLES / "strangers.tsv", need=["role"])


def test_sixty_groups_a_language_with_eight_variants_each() -> None:
    sizes = Counter(row.group or "" for row in FAQ.rows)
    assert min(sizes.values()) >= 8
    for language in ("zh_", "en_"):
        assert sum(group.startswith(language) for group in sizes) >= 60
    assert not FAQ.bad_rows


def test_each_group_has_one_title_which_is_a_variant() -> None:
    titles: dict[str | None, set[str | None]] = {}
    texts: dict[str | None, set[str]] = {}
    for row in FAQ.rows:
        titles.setdefault(row.group, set()).add(row.title)
        texts.setdefault(row.group, set()).add(row.text)
    assert all(len(titles[group]) == 1 and titles[group] <= texts[group] for group in titles)


def test_enough_questions_inside_and_outside_the_scope() -> None:
    groups = {row.group for row in FAQ.rows}
    inside = [row for row in QUERIES.rows if row.group is not None]
    assert len(inside) >= 240
    assert len(QUERIES.rows) - len(inside) >= 120
    assert {row.group for row in inside} == groups


def test_no_sentence_twice() -> None:
    keys = Counter(text_key(row.text) for row in [*FAQ.rows, *QUERIES.rows, *STRANGERS.rows])
    assert [key for key, count in keys.items() if count > 1] == []
