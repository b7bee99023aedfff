"""Regexes read into patterns: they match what Python says that they match, or less where readers differ."""

from __future__ import annotations

import random
import re
from itertools import product

import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.pattern import NOTHING, Pattern, within
from ensue.guided.render import as_regex
from ensue.guided.rust_regex import anywhere, whole
from tests.guided.test_regex import random_regex

SHORT_TEXTS = ["".join(text) for size in range(4) for text in product("abc0", repeat=size)]


def matched(pattern: Pattern, texts: list[str]) -> list[str]:
    if pattern == NOTHING:
        return []
    compiled = re.compile(as_regex(pattern))
    return [text for text in texts if compiled.fullmatch(text)]


def test_random_regexes_match_what_python_says() -> None:
    for seed in range(200):
        regex = random_regex(random.Random(seed))
        python = re.compile(regex, re.DOTALL | re.ASCII)
        assert matched(whole(regex), SHORT_TEXTS) == [text for text in SHORT_TEXTS if python.fullmatch(text)], regex


SEARCHES = [
    "b",
    "^a",
    "a$",
    "^a|b$",
    "^(a|b)c$",
    "(^a|b)(c|0$)",
    "^",
    "$",
    "",
    "a(b|c)*",
    "^a{2}$",
    "(^|a)b",
    "(?:a?)b",
]


@pytest.mark.parametrize("regex", SEARCHES)
def test_matches_anywhere_are_what_python_finds(regex: str) -> None:
    assert matched(anywhere(regex), SHORT_TEXTS) == [text for text in SHORT_TEXTS if re.search(regex, text)]


SPELLINGS = [
    (r"\x41\u0042\u{43}\U00000044\x{45}", ["ABCDE"], ["abcde"]),
    (r"[a-c&&[^b]]", ["a", "c"], ["b", "d"]),
    (r"[a-c--b]", ["a", "c"], ["b"]),
    (r"[]a]|[^]a]{2}", ["]", "a", "xy"], ["x", "]x"]),
    (r"(?i)aB[c-d]", ["ab" + "c", "AbD"], ["abe"]),
    (r"(?i:a)b", ["Ab", "ab"], ["aB"]),
    (r"(?i)[^k]", ["a"], ["k", "K", "\u212a"]),
    (r"(?i)[^é]", [], ["é", "É", "a"]),
    (r".", ["a"], ["\n"]),
    (r"(?s).", ["a", "\n"], []),
    (r"(?P<n>a)(?<m>b)a+?", ["aba"], ["ab"]),
    (r"\p{Lu}\PL\p{^N}", ["A1a"], ["a1a", "Aaa", "A11"]),
    (r"\d\w\s", ["1a "], ["٣a ", "1é ", "1a\u00a0"]),
    (r"\D\W\S", ["a-a"], ["٣-a", "aéa", "a-\u00a0"]),
    (r"\[\-\t\.", ["[-\t."], ["[-t."]),
    (r"\Aa\z", ["a"], ["aa"]),
]


@pytest.mark.parametrize(("regex", "good", "bad"), SPELLINGS, ids=[s[0] for s in SPELLINGS])
def test_rusts_spellings_mean_what_rust_says(regex: str, good: list[str], bad: list[str]) -> None:
    assert matched(whole(regex), good + bad) == good


WRONG = [
    "(?=a)", "(?<!a)", r"\1", r"\b", "[a", "(a", "a)", "*", "a{3,2}", "a{x}", "[z-a]", r"[\d-a]", r"\y", r"\ud800",
    "(?x)a", "[[:alpha:]]", "[a~~b]", r"\p{Greek}", "a^b", "(a$)b", "a(^b|c)", "(^a)*", "^*", "(" * 65, "[" * 65,
    "a{99999}", "a\\",
]  # fmt: skip


@pytest.mark.parametrize("regex", WRONG)
def test_what_cannot_be_read_or_said_is_refused(regex: str) -> None:
    with pytest.raises(InvalidGrammar):
        whole(regex)


COUNTED = ["^a0b?$", "b+", "^a+b*$", "^(ab)*c?$", "a|b{3}", "^a{2,4}$", "^a([-0b]*[a0])?$"]


@pytest.mark.parametrize("regex", COUNTED)
@pytest.mark.parametrize(("least", "most"), [(0, 5), (2, 3), (3, None), (1, 1)])
def test_texts_of_some_lengths_are_all_that_match_and_have_them(regex: str, least: int, most: int | None) -> None:
    pattern = within(anywhere(regex), least, most)
    assert pattern is not None
    fitting = [t for t in SHORT_TEXTS if re.search(regex, t) and least <= len(t) <= (9 if most is None else most)]
    assert matched(pattern, SHORT_TEXTS) == fitting


def test_lengths_that_take_too_many_cases_are_not_said() -> None:
    assert within(anywhere("b+"), 0, 500) is None
    assert within(anywhere("^([a-z]+-)*$"), 0, 5) is None
