"""What may be an id of a record or group, and what a name."""

import pytest
from pydantic import TypeAdapter

from app.schemas import Name, check_key


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
