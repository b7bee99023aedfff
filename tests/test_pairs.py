"""The all-pairs generator itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.pairs import all_cases, all_pairs, pairs_of

FACTORS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2), st.lists(st.integers(), min_size=1, max_size=3, unique=True), max_size=5
)


@given(factors=FACTORS, parity=st.integers(0, 2))
def test_every_pair_of_any_case_is_in_a_chosen_one(factors: dict[str, list[int]], parity: int) -> None:
    cases = [case for case in all_cases(factors) if sum(case.values()) % 3 != parity]
    chosen = all_pairs(cases)
    assert {pair for case in cases for pair in pairs_of(case)} == {pair for case in chosen for pair in pairs_of(case)}
    assert all(case in cases for case in chosen)
    assert all_pairs(cases) == chosen


def test_pairs_need_far_fewer_cases_than_all_combinations() -> None:
    factors = {name: range(3) for name in "abcdefgh"}
    assert len(all_pairs(all_cases(factors))) <= 20 < 3**8
