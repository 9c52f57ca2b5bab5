"""Ids of requests and answers."""

from app.ids import IdSource


def test_ids_are_different_and_in_order_of_time() -> None:
    source = IdSource()
    ids = [source.take() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert {len(each) for each in ids} == {32}
    assert [each[:12] for each in ids] == sorted(each[:12] for each in ids)
