"""Patterns that look ahead or are denied, as patterns that do neither."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.look_ahead import denied_pattern, to_rusts
from ensue.guided.rust_regex import whole
from ensue.guided.schema_fits import matches
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
    ("^(?!a+)[ab]$", ["b"], ["a"]),
    ("^(?!a|b$)[abc]+$", ["c", "ca"], ["a", "b", "ab"]),
    ("^(?!.*ab)[abc]+$", ["bc"], ["ab", "cabc"]),
    ("^(?!-)(?!.*--)[a-]+$", ["a-a", "a-"], ["-a", "a--a"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), LOOKING, ids=[c[0] for c in LOOKING])
def test_look_ahead_at_the_start_means_the_same_without_it(pattern: str, good: list[str], bad: list[str]) -> None:
    constraint = Constraint.of_schema({"type": "string", "pattern": pattern})
    assert [text for text in good if not accepts(constraint, f'"{text}"')] == []
    assert [text for text in bad if accepts(constraint, f'"{text}"')] == []
    assert all(re.search(pattern, text) for text in good)


DENIED = [
    *("^a", "^ab$", "^(a|b)", "ab$", "a", r"\.", "^[a-c]", r"^\d", "^(?:ab|b)$", "aa", "ab"),
    *(r"\d+", "^a|b$", r"^a+(\[[0-9]*\])*$", r"[aA][bB]\s*\(\s*[^)\s]", r"^\w+$", "^[ab]*$", r"\.(a|b?c)$", r"^\S+a"),
    *("(?:a|b{2,})c?", r"^$|^[a-c]\.", r"[^\x00-\x60]", r"\s"),
]


@pytest.mark.parametrize("pattern", DENIED)
def test_denied_patterns_match_nowhere(pattern: str) -> None:
    regex = denied_pattern(pattern)
    texts = [text for seed in range(30) if (text := walk(Constraint("regex", regex), seed, 12)) is not None]
    assert len(texts) > 5
    assert [text for text in texts if re.search(pattern, text)] == []


@pytest.mark.parametrize("pattern", ["", "a*", ".?", "[", r"(a)\1", r"\p{L}"])
def test_what_matches_everywhere_or_cannot_be_read_is_not_denied(pattern: str) -> None:
    with pytest.raises(InvalidGrammar):
        denied_pattern(pattern)


NOISE = st.text(st.sampled_from("abcAB(.[]019-_ \n\r\t\x1cé٣\u2028"), max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DENIED), NOISE)
def test_no_text_of_a_denial_is_matched_by_the_pattern(pattern: str, text: str) -> None:
    if matches(whole(denied_pattern(pattern)), text):
        assert not re.search(pattern, text)


REFUSED = ["(?!a)b", "^(?!a)b|c", "^(?!a)*b", "^(?!a", "^(?!.*)x", "^(?!a(?=b))x"]


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
