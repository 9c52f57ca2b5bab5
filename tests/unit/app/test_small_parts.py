"""Cursors, preconditions, ids, the door's settings and the catalogue."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from app import container
from app.db.postgres import PostgresDatabase
from app.errors import InsecureBindError, InvalidValueError, PreconditionFailedError, StartupError
from app.http.cursors import Cursors
from app.http.preconditions import Precondition
from app.ids import IdSource
from app.job.kinds import Kind
from app.job.tables import TYPES_OF
from app.schemas import Name, check_key
from app.search.answers import neighbours
from app.serving.catalogue.catalogue import Catalogue
from app.serving.catalogue.entry import Entry
from app.settings import Settings
from index.types import MISSING_ID


def test_a_cursor_reads_back_in_its_own_list_only() -> None:
    cursors = Cursors(b"key")
    cursor = cursors.sign("faq/records", 12345678901)
    assert cursors.read("faq/records", cursor) == 12345678901
    assert cursors.read("faq/records", None) == 0
    for listing, text in (("faq/groups", cursor), ("faq/records", cursor[:-2]), ("faq/records", "é"), ("x", "AAAA")):
        with pytest.raises(InvalidValueError, match="next_cursor"):
            cursors.read(listing, text)
    with pytest.raises(InvalidValueError):
        Cursors(b"another").read("faq/records", cursor)


@pytest.mark.parametrize(
    ("precondition", "tag", "holds"),
    [
        (Precondition(), None, True),
        (Precondition(), "7-3-a", True),
        (Precondition(tags=frozenset({"7-3-a"})), "7-3-a", True),
        (Precondition(tags=frozenset({"7-2-a"})), "7-3-a", False),
        (Precondition(tags=frozenset({"6-3-a"})), "7-3-a", False),
        (Precondition(tags=frozenset({"7-3-b"})), "7-3-a", False),
        (Precondition(tags=frozenset({"7-3-a"})), None, False),
        (Precondition(exists=True), "7-1-a", True),
        (Precondition(exists=True), None, False),
        (Precondition(absent=True), None, True),
        (Precondition(absent=True), "7-1-a", False),
    ],
)
def test_preconditions(precondition: Precondition, tag: str | None, holds: bool) -> None:
    if holds:
        precondition.check(tag, what="it")
        return
    with pytest.raises(PreconditionFailedError):
        precondition.check(tag, what="it")


@pytest.mark.parametrize("key", [".", "..", "a/b", "a\x7fb", "a\ufffdb", "\n"])
def test_what_no_path_can_name_is_no_id(key: str) -> None:
    with pytest.raises(ValueError, match=r"use|send"):
        check_key(key)


@pytest.mark.parametrize("key", [" ", " a", "a ", "退款\u3000", "\u00a0a"])
def test_white_space_around_an_id_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        check_key(key)


@pytest.mark.parametrize("key", ["...", ".a", "a.", "a b", "退款 😀", "e\u0301", "a%2Fb", "a:b", "a?b#c", "x" * 256])
def test_anything_else_is_an_id(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("name", ["", "FAQ", "my faq", "-a", "_a", "a\n", "退款", "é", "a/b", "a" * 64])
def test_a_bad_name_is_told_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters") as told:
        TypeAdapter(Name).validate_python(name)
    assert "[a-z" not in str(told.value)


@pytest.mark.parametrize("name", ["a", "0", "faq-2_en", "a" * 63])
def test_a_good_name_passes(name: str) -> None:
    assert TypeAdapter(Name).validate_python(name) == name


def test_ids_are_different_and_in_order_of_time() -> None:
    source = IdSource()
    ids = [source.take() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert {len(each) for each in ids} == {32}
    assert [each[:12] for each in ids] == sorted(each[:12] for each in ids)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_an_open_host_needs_a_key(host: str) -> None:
    with pytest.raises(InsecureBindError, match="SAMESAY_API_KEY"):
        Settings(host=host).refuse_open_bind(has_admin_key=False)
    Settings(host=host, api_key="long enough").refuse_open_bind(has_admin_key=False)
    Settings(host=host).refuse_open_bind(has_admin_key=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str, tmp_path: Path) -> None:
    Settings(host=host, data=tmp_path).refuse_open_bind(has_admin_key=False)


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{} \r\n"])
def test_white_space_around_the_key_is_not_of_it(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESAY_API_KEY", around.format("long enough"))
    key = Settings().api_key
    assert key is not None and key.get_secret_value() == "long enough"
    monkeypatch.setenv("SAMESAY_API_KEY", around.format("       "))
    with pytest.raises(ValidationError, match="shorter than 8"):
        Settings()


def test_the_largest_body_has_room_among_all() -> None:
    assert Settings(max_body_bytes=5000, max_bodies_bytes=5000).max_bodies_bytes == 5000
    with pytest.raises(ValidationError, match="SAMESAY_MAX_BODIES_BYTES is 4999"):
        Settings(max_body_bytes=5000, max_bodies_bytes=4999)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESAY_PORT", "tcp://10.96.7.1:80")
    assert Settings().port == 8765
    monkeypatch.setenv("SAMESAY_PORT", "9000")
    assert Settings().port == 9000


def test_answers_leave_out_what_is_gone_or_too_far() -> None:
    catalogue = Catalogue(None).apply({1: Entry("a", "A", "x"), 2: Entry("b", "B", "x"), 3: Entry("c", "C", None)}, [])
    found = neighbours(catalogue, [1, 77, 3, 2, MISSING_ID], [0.9, 0.8, 0.7, 0.61234567, -np.inf], 0.1)
    assert [(one["id"], one["score"]) for one in found] == [("a", 0.9), ("c", 0.7), ("b", 0.612346)]
    assert [one["id"] for one in neighbours(catalogue, [1, 2], [0.9, 0.5], 0.6)] == ["a"]


@pytest.mark.parametrize(
    ("url", "has_torch", "kinds"),
    [
        (None, True, 2),
        (None, False, 2),
        ("postgresql://x/y", True, 2),
        ("postgresql://x/y", False, 1),
    ],
)
def test_who_makes_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, has_torch: bool, kinds: int
) -> None:
    """One that shares its database leaves them to others where it has no trainer; alone it says what is missing."""
    monkeypatch.setattr(container, "find_spec", lambda name: object() if has_torch else None)
    pools = container.worker_pools(Settings(data=tmp_path, database_url=url))
    assert len(pools) == kinds
    assert pools[0].types == TYPES_OF[Kind.FILES]
    assert container.worker_pools(Settings(data=tmp_path, database_url=url, workers=0)) == []


def test_an_at_sign_in_the_password_of_a_database_is_no_part_of_the_host() -> None:
    with pytest.raises(StartupError, match="as %40, or leave the password out and set PGPASSWORD") as refused:
        PostgresDatabase("postgresql://samesay:p@ss@database/samesay")
    assert "ss@" not in str(refused.value), "nothing of the password is shown"
    escaped = PostgresDatabase("postgresql://samesay:p%40ss@database/samesay")
    assert (escaped.engine.url.host, escaped.engine.url.password) == ("database", "p@ss")
    escaped.close()
