"""Numbers within bounds: just those that lie within them, in every spelling without exponents."""

from __future__ import annotations

import re
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.guided.json_numbers import integers, numbers
from ensue.guided.pattern import NOTHING, Pattern
from ensue.guided.render import as_regex

BOUNDS = st.one_of(st.none(), st.integers(-1200, 1200))
DECIMAL_BOUNDS = st.one_of(st.none(), st.decimals(-12, 12, places=2).map(float))


def is_matched(pattern: Pattern, text: str) -> bool:
    return pattern != NOTHING and re.fullmatch(as_regex(pattern), text) is not None


def is_between(low: float | None, value: Decimal, high: float | None) -> bool:
    return (low is None or Decimal(str(low)) <= value) and (high is None or value <= Decimal(str(high)))


@settings(max_examples=300, deadline=None)
@given(low=BOUNDS, high=BOUNDS, value=st.integers(-1300, 1300))
def test_integers_are_those_between_the_bounds(low: int | None, high: int | None, value: int) -> None:
    pattern = integers(low, high)
    assert is_matched(pattern, str(value)) == is_between(low, Decimal(value), high)
    assert not is_matched(pattern, f"0{value}")


@settings(max_examples=600, deadline=None)
@given(low=DECIMAL_BOUNDS, high=DECIMAL_BOUNDS, value=st.decimals(-13, 13, places=3), num_zeros=st.integers(0, 2))
def test_numbers_are_those_between_the_bounds(
    low: float | None, high: float | None, value: Decimal, num_zeros: int
) -> None:
    texts = [format(value, "f") + "0" * num_zeros, str(int(value))]
    for text in (text for text in texts if not (text.startswith("-") and not Decimal(text))):  # -0 may be left out
        assert is_matched(numbers(low, high), text) == is_between(low, Decimal(text), high), text


@settings(max_examples=200, deadline=None)
@given(low=DECIMAL_BOUNDS, high=DECIMAL_BOUNDS, text=st.from_regex(r"-?[0-9]{1,2}(\.[0-9]{0,3})?\Z"))
def test_what_matches_is_a_number_of_json(low: float | None, high: float | None, text: str) -> None:
    if is_matched(numbers(low, high), text):
        assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", text)
