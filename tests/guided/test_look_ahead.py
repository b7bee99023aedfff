"""Patterns that look ahead or are denied, as patterns that do neither."""

from __future__ import annotations

import json
import random
import re

import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.look_ahead import denied_pattern, to_rusts
from tests.guided.walk import accepts, walk

LOOKING = [  # what it must match, what it must not
    ("^(?!a)[ab]+$", ["b", "ba"], ["a", "ab"]),
    ("^(?!(?:ab|b)$)[ab]+$", ["a", "aba", "bb"], ["ab", "b"]),
    ("^(?!ab$|b$)[ab]+$", ["a", "abb"], ["ab", "b"]),
    ("^(?![0-9])", ["x1", ""], ["1x"]),
    (r"^(?!\d)\w+$", ["x1"], ["1x"]),
    (r"^(?!.*\.\.)[a.]+$", ["a.a.", "."], ["..", "a..a"]),
    (r"^(?!\s*$).+", ["a", " a"], [" ", ""]),
    ("^(?=.*[0-9])(?=.{2,3}$)[a-z0-9]*$", ["a1", "1ab"], ["ab", "1", "abc1"]),
    (r"^\b[a-]+\b$", ["a-a", "a"], ["-a", "a-", ""]),
    ("^(?!-)(?!.*--)[a-]+$", ["a-a", "a-"], ["-a", "a--a"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), LOOKING, ids=[c[0] for c in LOOKING])
def test_look_ahead_at_the_start_means_the_same_without_it(pattern: str, good: list[str], bad: list[str]) -> None:
    constraint = Constraint.of_schema({"type": "string", "pattern": pattern})
    assert [text for text in good if not accepts(constraint, f'"{text}"')] == []
    assert [text for text in bad if accepts(constraint, f'"{text}"')] == []
    assert all(re.search(pattern, text) for text in good)


DENIED = ["^a", "^ab$", "^(a|b)", "ab$", "a", r"\.", "^[a-c]", r"^\d", "^(?:ab|b)$", "aa"]


@pytest.mark.parametrize("pattern", DENIED)
def test_denied_patterns_match_nowhere(pattern: str) -> None:
    if pattern == "ab$":
        with pytest.raises(InvalidGrammar):
            denied_pattern(pattern)
        return
    regex = denied_pattern(pattern)
    texts = [text for seed in range(30) if (text := walk(Constraint("regex", regex), seed, 12)) is not None]
    assert len(texts) > 5
    assert [text for text in texts if re.search(pattern, text)] == []
    assert accepts(Constraint("regex", regex), "xx")


REFUSED = [
    "^(?!a+)b",
    "(?!a)b",
    "^(?!a)b|c",
    "^(?!a|b$)c",
    "^(?!ab.)x",
    "^(?!a)*b",
    "^(?!a",
    r"^(?!.*ab)x",
    r"^(?!\$-$)x",
]


@pytest.mark.parametrize("pattern", REFUSED)
def test_other_look_ahead_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidGrammar):
        to_rusts(pattern)


@pytest.mark.parametrize("pattern", [r"^\w+$", "^.$", r"[^\s]", r"^\S$", "^a$", r"^[\d-]$", "^(?!a)b"])
def test_wide_patterns_of_names_match_all_that_a_reader_matches(pattern: str) -> None:
    noise = random.Random(0)
    constraint = Constraint.of_schema({"type": "object", "patternProperties": {pattern: {"const": 1}}})
    for _ in range(100):
        name = "".join(noise.choice("aé ٣\n\r\u2028_-b") for _ in range(noise.randint(0, 3)))
        if re.search(pattern, name):
            assert not accepts(constraint, json.dumps({name: 2}, ensure_ascii=False)), name
