"""Regexes and choices: the whole text matches, and nothing else ever does."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.ecma_regex import to_rust
from ensue.guided.regex import narrow
from ensue.guided.verbose import without_comments
from tests.guided.walk import accepts, backend, walk

PIECES = [
    "a",
    "b",
    "[a-c]",
    "[^a]",
    r"\d",
    r"\w",
    r"\W",
    r"[^\w]",
    r"[^\d\s]",
    r"\S",
    r"\D",
    ".",
    "é",
    "(a|bc)",
    "(?:x|)",
    "[0-9]{2}",
    r"\.",
    "(ab)*",
    "",
    "a?",
    "b+",
]
QUANTIFIERS = ["", "", "", "?", "*", "+", "{2}", "{0,3}", "{1,}"]


def random_regex(noise: random.Random) -> str:
    parts = [noise.choice(PIECES) for _ in range(noise.randint(1, 5))]
    quantified = [f"(?:{part}){noise.choice(QUANTIFIERS)}" for part in parts]
    middle = noise.randrange(len(parts) + 1)
    return "".join(quantified) if noise.random() < 0.7 else "".join(quantified[:middle]) + "|" + "".join(quantified)


def test_finished_texts_of_random_regexes_match() -> None:
    num_finished = 0
    for seed in range(300):
        regex = random_regex(random.Random(seed))
        for walk_seed in range(2):
            text = walk(Constraint("regex", regex), walk_seed, 40)
            num_finished += text is not None
            assert text is None or re.fullmatch(regex, text, re.DOTALL), (regex, text)
    assert num_finished > 500


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=5), st.integers(0, 100))
def test_a_choice_is_one_of_the_strings(choices: list[str], seed: int) -> None:
    constraint = Constraint.of_choices(tuple(choices))
    assert all(accepts(constraint, choice) for choice in choices)
    text = walk(constraint, seed)
    assert text is None or text in choices  # None: a prefix that is a choice, too, was not taken


WRONG = [
    ("(?=a)b", "look-around"),
    (r"(a)\1", "backreferences"),
    ("[a", "unclosed"),
    ("(" * 65 + ")" * 65, "nested deeper"),
    ("a" * 8193, "8193 bytes"),
    (r"\bfoo", "lookarounds"),
    ("(?i)" + "[a-z]?" * 500 + "x{500}", "too complex to follow"),
    ("a\\", "ends within an escape"),
    ("\\\\\\", "within an escape"),
]


@pytest.mark.parametrize(("regex", "words"), WRONG, ids=[w[1] for w in WRONG])
def test_regexes_that_cannot_be_are_refused(regex: str, words: str) -> None:
    with pytest.raises(InvalidGrammar, match=words) as caught:
        backend().compile(Constraint("regex", regex))
    assert "ine 1" not in caught.value.message


@pytest.mark.parametrize("choices", [(), ("\ud800",)])
def test_choices_that_cannot_be_are_refused(choices: tuple[str, ...]) -> None:
    with pytest.raises(InvalidGrammar):
        backend().compile(Constraint.of_choices(choices))


VERBOSE = [  # a regex with the flag x, the same without
    ("(?x) a b # c\n [ ^ ] d ] e", "ab[^]d]e"),
    ("(?x: a\n(b c)) d", "(?:a(bc)) d"),
    ("(?x)a(?-x: b)[ c ]\\ \\#", "a(?: b)[c]\\ \\#"),
    ("((?ix) a )  b(?i) c", "((?i)a)  b(?i) c"),
    ("(?s-x:. )(?x:(?-xi: ) #)\n)", "(?s:. )(?:(?-i: ))"),
    ("(?<x> a)[(?x) ]", "(?<x> a)[(?x) ]"),
]


@pytest.mark.parametrize(("regex", "plain"), VERBOSE, ids=[v[1] for v in VERBOSE])
def test_spaces_and_comments_of_verbose_regexes_mean_nothing(regex: str, plain: str) -> None:
    assert without_comments(regex) == plain


def test_a_verbose_regex_of_several_lines_matches_as_a_whole() -> None:
    constraint = Constraint("regex", "(?x)\n a  # first\n b{1, 2}  # second\n | c")
    assert [text for text in ("ab", "abb", "c", "a", "\nab", "abbb") if accepts(constraint, text)] == ["ab", "abb", "c"]


NARROW = [
    (r"\d[\d]", "[0-9][0-9]"),
    (r"[^\d]\D", r"[^\d]\D"),
    (r"\w[^\w]", r"[0-9A-Za-z_][^\w\p{N}]"),
    (r"[\S&&[^\W\d]]", r"[[^\s\x1c-\x1f]&&[^[^0-9A-Za-z_]\d]]"),
    (r"\\d[]\d]\[\d", r"\\d[]0-9]\[[0-9]"),
]


@pytest.mark.parametrize(("regex", "narrowed"), NARROW)
def test_classes_hold_what_every_reader_agrees_on(regex: str, narrowed: str) -> None:
    assert narrow(regex) == narrowed


def test_anchors_and_flags_are_rusts() -> None:
    assert accepts(Constraint("regex", r"^(?i)ab\z|\Acd$"), "aB")
    assert not accepts(Constraint("regex", "^ab$"), "ab\n")


ECMA = [  # pattern, what it must match, what it must not: where ECMA and Python differ, both must agree
    (r"^\d$", "7", "٣"),
    (r"^[^\d]$", "a", "٣"),
    (r"^\D$", "a", "٣"),
    (r"^\w$", "_", "é"),
    (r"^\W$", "-", "é"),
    (r"^\s$", "\t", "\u00a0"),
    (r"^\S$", "a", "\u00a0"),
    (r"^[^\w]$", "-", "²"),
    (r"^.$", "é", "\u2028"),
    (r"^[\b\cJ]$", "\b", "b"),
    (r"^[[&&]$", "[", "x"),
    (r"^\/\u0061\x62{1}$", "/ab", "/ba"),
    (r"^[a-\d]$", "-", "b"),
    (r"^(?<n>a|b)]$", "a]", "a"),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), ECMA, ids=[p[0] for p in ECMA])
def test_ecma_patterns_mean_what_all_readers_agree_on(pattern: str, good: str, bad: str) -> None:
    constraint = Constraint("regex", to_rust(pattern))
    assert accepts(constraint, good)
    assert not accepts(constraint, bad)


NO_ECMA = ["(?!a)", "(?<=a)b", r"\1", r"\k<n>", r"a\b", r"\y", "[]", "[a", "a\\", r"\ud800"]
NO_ECMA += ["a*+", "a++b", "a{2}{3}", "a{1,2}*", "a??+", "^a{,2}$"]


@pytest.mark.parametrize("pattern", NO_ECMA)
def test_ecma_patterns_that_cannot_be_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidGrammar):
        to_rust(pattern)
