"""Globs against brute force: what they match, and that intersections match exactly what both sides do."""

from __future__ import annotations

import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.globs import intersect, is_valid, matches

GLOBS = st.text("ab*?", min_size=1, max_size=5)
LISTS = st.lists(st.one_of(GLOBS, st.lists(GLOBS, min_size=2, max_size=2).map("&".join)), min_size=1, max_size=3)
NAMES = ["".join(letters) for length in range(6) for letters in itertools.product("ab", repeat=length)]


def match_any(globs: tuple[str, ...] | list[str], name: str) -> bool:
    return any(matches(glob, name) for glob in globs)


@given(GLOBS)
def test_a_glob_matches_as_a_shell_would(glob: str) -> None:
    assert [name for name in NAMES if matches(glob, name)] == [n for n in NAMES if fnmatch.fnmatchcase(n, glob)]


@given(LISTS, LISTS)
def test_an_intersection_matches_what_both_lists_match(ours: list[str], theirs: list[str]) -> None:
    common = intersect(ours, theirs)
    for name in NAMES:
        assert match_any(common, name) == (match_any(ours, name) and match_any(theirs, name)), name


@given(LISTS, LISTS)
def test_an_intersection_intersected_again_stays_as_it_is(ours: list[str], theirs: list[str]) -> None:
    common = intersect(ours, theirs)
    assert intersect(common, theirs) == common


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [
        (["llama-*"], ["*"], ["llama-*"]),
        (["*"], ["llama-*"], ["llama-*"]),
        (["a", "b"], ["b", "c"], ["b"]),
        (["llama-*"], ["*-8b"], ["llama-*&*-8b"]),
        (["llama-*"], ["qwen-*"], []),
        (["*-8b"], ["*-70b"], []),
        (["org/*"], ["org/a*", "org/b"], ["org/a*", "org/b"]),
    ],
)
def test_intersections_are_short(ours: list[str], theirs: list[str], common: list[str]) -> None:
    assert intersect(ours, theirs) == tuple(common)


@pytest.mark.parametrize("name", ["a+b", "a.b", "[a]", "(", "ä\n"])
def test_other_characters_stand_for_themselves(name: str) -> None:
    assert matches(name, name)
    assert matches("*", name)
    assert not matches("a.b", "axb")


def test_many_stars_cost_no_time() -> None:
    assert not matches("*a" * 100 + "b", "a" * 5000)


@pytest.mark.parametrize(("glob", "is_good"), [("a&b", True), ("a&", False), ("&a", False), ("", False)])
def test_a_glob_says_something_on_both_sides(glob: str, is_good: bool) -> None:
    assert is_valid(glob) == is_good
