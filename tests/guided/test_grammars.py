"""Grammars in Lark's notation and in GBNF: what they allow, and what is wrong with them, line and column."""

from __future__ import annotations

import json
import re
from pathlib import Path

import lark
import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.gbnf import gbnf_to_lark
from tests.guided.walk import accepts, backend, walk

EXAMPLES = Path(__file__).parents[2] / "examples" / "grammars"
SAMPLES = {
    "json": (['{"a": [1, true]}', '"x"', "-1.5e3"], ["{", "{'a':1}", "01"]),
    "arithmetic": (["1", "2 * (3 + 4) - 5", "-1.5"], ["1+", "1 + ", "(1"]),
    "sql": (["SELECT * FROM t;", "SELECT a, MAX(b) FROM t WHERE a = 'x' LIMIT 3;"], ["SELECT * FROM t", "DROP"]),
    "chess": (["1. e4 e5", "1. e4 e5 2. Nf3 Nc6 3. O-O exd5+"], ["e4", "1. e9 e5", "1. e4"]),
}


def constraint_of(path: Path) -> Constraint:
    return Constraint("grammar", path.read_text())


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_the_examples_allow_what_they_say(path: Path) -> None:
    good, bad = SAMPLES[path.stem]
    assert [text for text in good if not accepts(constraint_of(path), text)] == []
    assert [text for text in bad if accepts(constraint_of(path), text)] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_finished_texts_of_the_examples_parse(path: Path) -> None:
    parser = lark.Lark((EXAMPLES / f"{path.stem}.lark").read_text(), parser="earley", lexer="dynamic")
    texts = [text for seed in range(12) if (text := walk(constraint_of(path), seed, 200)) is not None]
    assert len(texts) >= 2
    for text in texts:
        parser.parse(text)
        if path.stem == "json":
            json.loads(text)


WRONG = [
    ('start: "a"\n  $', "Line 2, column 3"),
    ('start: "a"\nb: c', "Line 2, column 4"),
    ("start: /(?=a)b/", "Line 1, column 8"),
    ('start: "a"\nstart: "b"', "Line 2"),
    ('start[lazy]: "a"', "Line 1, column 6"),
    ("start: <|im_end|>", "Line 1, column 8"),
    ("start: %json {}", "Line 1, column 14"),
    ('%override start: "a"', "Line 1, column 1"),
    ('start: ("a"', "Line 1, column 12"),
    ('rule: "a"', "no rule named start"),
    ('start: "a" start', "no way out"),
    ('start: "a" ~ 2..3 b\nb: start b', "no way out"),
    ("start: A\nA: B\nB: A", "no way out"),
    ('root ::= "a"\n"b"', "Line 2, column 1"),
    ('root ::= "a" b', "Line 1, column 14"),
    ('root ::= "a" ( "b"', "Line 1, column 19"),
    ("root ::= [z-a]", "backwards"),
    ('root ::= "a"{3,2}', "rising bounds"),
    ('root ::= "a" root', "no way out"),
    ('rule ::= "a"', "no rule named root"),
    ("root ::= " + "(" * 100 + '"a"' + ")" * 100, "nested deeper"),
]


@pytest.mark.parametrize(("source", "words"), WRONG, ids=[w[0][:25] for w in WRONG])
def test_what_is_wrong_with_a_grammar_is_said_with_its_place(source: str, words: str) -> None:
    with pytest.raises(InvalidGrammar, match=re.escape(words)):
        backend().compile(Constraint("grammar", source))


LARK = [
    ('?start: a -> x\n!a: "b"', ["b"], ["a"]),
    ('start: "a" ~ 2..3', ["aa", "aaa"], ["a", "aaaa"]),
    ('start: "a".."c" ["x"]\n', ["a", "bx"], ["d", "x"]),
    ("start: INT\n  | WORD // one of them\n%import common.INT\n%import common (WORD, WS)", ["12", "ab"], ["1b", ""]),
    ('start: ("a"\n | "b"i)+', ["aBb"], ["", "c"]),
    (r"start: /\d\w[^\d]\//i", ["7a-/", "0_ /"], ["٣a-/", "7é-/", "7a٣/"]),  # readers differ by their Unicode version
]


@pytest.mark.parametrize(("source", "good", "bad"), LARK)
def test_larks_notation_means_what_lark_says(source: str, good: list[str], bad: list[str]) -> None:
    constraint = Constraint("grammar", source)
    assert all(accepts(constraint, text) for text in good)
    assert not any(accepts(constraint, text) for text in bad)


GBNF = [
    ('root ::= "a\\n\\"\\x41\\u00e9"', ['a\n"Aé'], ["a"]),
    ("root ::= [a-c]+ [^0-9] .", ["abx\n"], ["ab", "a1a"]),
    ('root ::= a-b | "x"? # or\na-b ::=\n  "q"{2} | "r"{1,}', ["", "x", "qq", "rrr"], ["q", "xx"]),
    ('root ::= word "x"\nword ::= [a-z]+', ["xx", "abcx"], ["x", "ab"]),  # no lexer takes the last x away
    ('root ::= (\n"a"\n"b")\n| "c" # or', ["ab", "c"], ["a", "b"]),
    ("root ::= [-a] [a\\-z]", ["--", "az"], ["ab"]),
    ('root ::= "a"{0} ("b" "c"){0,0} "d"', ["d"], ["ad", "bcd", ""]),
]


@pytest.mark.parametrize(("source", "good", "bad"), GBNF)
def test_gbnf_means_what_its_rules_say(source: str, good: list[str], bad: list[str]) -> None:
    constraint = Constraint("grammar", source)
    assert [text for text in good if not accepts(constraint, text)] == []
    assert [text for text in bad if accepts(constraint, text)] == []


def test_gbnf_becomes_lark() -> None:
    assert gbnf_to_lark('root ::= "a" b?\nb ::= [x-z]') == "start: (/a/ (r1){0,1})\nr1: (/[x-z]/)"
