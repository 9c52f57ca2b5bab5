"""Terms are equal where values are, and in their order; conditions over terms say what they say of the values."""

import math

from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.serving.catalogue.terms import (
    AnyOf,
    Between,
    Filter,
    after,
    field_range,
    group_of,
    group_term,
    terms_of,
    value_term,
)

WHOLE = st.integers(min_value=-(2**63), max_value=2**63 - 1)
EDGES = st.sampled_from([sign * (2**power + step) for sign in (-1, 1) for power in (53, 54, 62) for step in (-1, 0, 1)])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.one_of(WHOLE, EDGES, EDGES.map(float), FLOATS, st.integers(-3, 3), st.integers(-3, 3).map(float))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text("ab\0", max_size=4)
VALUES = st.one_of(NUMBERS, TEXTS, st.booleans(), st.sampled_from(["1", "true", 1, 1.0, True, 0, -0.0, False]))


def kind_of(value: object) -> type:
    """The types that are comparable: whole and other numbers are one."""
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float


@given(NUMBERS, NUMBERS)
@example(-0.0, 0)
@example(2**53, 2**53 + 1)
@example(float(2**53), 2**53 + 1)
@example(2**63 - 1, float(2**63))
@example(-(2**63), -math.ldexp(1, 63))
@example(5e-324, 0)
def test_number_terms_are_in_the_order_of_the_numbers(one: float, other: float) -> None:
    # Python compares whole numbers with floats exactly
    first, second = value_term("year", one), value_term("year", other)

    assert (first < second, first == second) == (one < other, one == other)


@given(TEXTS, TEXTS)
@example("z", "é")
@example("\uffff", "\U00010000")
def test_string_terms_are_in_the_order_of_code_points(one: str, other: str) -> None:
    first, second = value_term("day", one), value_term("day", other)

    assert (first < second, first == second) == (one < other, one == other)


@given(TEXTS, VALUES, TEXTS, VALUES)
@example("a", "b", "ab", "")
@example("a", 1, "a", True)
@example("a", "1", "a", 1)
def test_terms_are_equal_only_where_field_kind_and_value_are(a: str, one: object, b: str, other: object) -> None:
    same = a == b and kind_of(one) is kind_of(other) and one == other

    assert (terms_of(None, {a: one}) == terms_of(None, {b: other})) == same


@given(TEXTS)
def test_a_group_is_no_metadata_whatever_its_name(name: str) -> None:
    term = group_term(name)

    assert group_of(term) == name
    assert term not in terms_of(None, {"group": name, name: name, "": name})


@given(VALUES, VALUES, VALUES, st.booleans(), st.booleans())
@example(2, 2, 2, True, True)
@example("b", "a", "b", True, False)
def test_between_says_what_comparing_the_values_says(
    value: object, low: object, high: object, closed_low: bool, closed_high: bool
) -> None:
    assume(kind_of(low) is kind_of(high))
    bottom, top = value_term("f", low), value_term("f", high)
    condition = Between(bottom if closed_low else after(bottom), after(top) if closed_high else top)
    expected = kind_of(value) is kind_of(low) and (
        (value >= low if closed_low else value > low) and (value <= high if closed_high else value < high)
    )

    assert condition.matches(terms_of(None, {"f": value})) == expected


@given(TEXTS, VALUES, TEXTS, VALUES)
def test_the_range_of_a_field_holds_its_values_of_one_kind(a: str, one: object, b: str, other: object) -> None:
    expected = a == b and kind_of(one) is kind_of(other)

    assert field_range(a, one).matches(terms_of("g", {b: other})) == expected


@given(st.lists(TEXTS))
def test_a_list_has_a_term_for_each_of_its_strings_once(tags: list[str]) -> None:
    terms = terms_of(None, {"tags": tags})

    assert len(terms) == len(set(tags))
    assert set(terms) == {value_term("tags", tag) for tag in tags}


def test_all_conditions_of_a_filter_must_hold() -> None:
    english, year = AnyOf(frozenset([value_term("lang", "en")])), field_range("year", 0)

    assert Filter(()).matches([])
    assert Filter((english, year)).matches(terms_of("g", {"year": 2020, "lang": "en"}))
    assert not Filter((english, year)).matches(terms_of("g", {"year": 2020, "lang": "de"}))
    assert not Filter((english, year)).matches(terms_of("en", {"lang": "en"}))
