"""The changes since a snapshot, against a plain list of them."""

import gc
import random

from hypothesis import given
from hypothesis import strategies as st

from app.serving.catalogue.catalogue import Catalogue
from app.serving.catalogue.change_list import ChangeList
from app.serving.catalogue.entry import NO_METADATA, Entry, group_in

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ENTRIES = st.builds(
    Entry,
    TEXTS.filter(bool),
    TEXTS,
    st.none() | TEXTS.filter(bool),
    st.sampled_from([NO_METADATA, b'{"a":1}', '{"名":"价"}'.encode()]),
)


@given(ENTRIES)
def test_an_entry_is_the_same_once_packed(entry: Entry) -> None:
    assert Entry.unpack(entry.pack()) == entry
    assert group_in(entry.pack()) == entry.group


def test_at_every_moment_it_tells_what_a_plain_list_does() -> None:
    rng = random.Random(5)
    changes, plain = ChangeList(), []
    for number in range(300):
        record = rng.randrange(40)
        entry = None if rng.random() < 0.3 else Entry(str(record), f"text {number}", rng.choice([None, "g"]))
        changes.append(record, None if entry is None else entry.pack())
        plain.append((record, entry))
    assert len(changes) == 300
    for n in range(301):
        for record in range(40):
            numbers = [number for number, (changed, _) in enumerate(plain[:n]) if changed == record]
            assert changes.find(record, n) == (numbers[-1] if numbers else None)
        start = rng.randrange(n + 1)
        expected = {record: start + at for at, (record, _) in enumerate(plain[start:n])}
        assert changes.last(start, n) == expected
    for number, (_, entry) in enumerate(plain):
        assert changes.get(number) == entry
        assert changes.packed(number) == (None if entry is None else entry.pack())


def test_the_garbage_collector_need_not_look_through_changes() -> None:
    catalogue = Catalogue(None)
    gc.collect()
    before = len(gc.get_objects())
    for start in range(0, 20_000, 1000):
        entries = {n: Entry(str(n), f"text {n}", "g", b'{"a":1}') for n in range(start, start + 1000)}
        catalogue.apply(entries, [])
    del entries
    gc.collect()
    assert len(gc.get_objects()) - before < 1000
    assert catalogue.view.find([19_999]) == [Entry("19999", "text 19999", "g", b'{"a":1}')]
