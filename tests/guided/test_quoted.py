"""Quoted texts as lexemes: masks are those of the grammar character by character, on any walk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ensue.errors import GenerationFailed, InvalidGrammar
from ensue.guided.backend import Matcher
from ensue.guided.gbnf import START, as_lark, gbnf_to_lark, read_gbnf
from ensue.guided.llguidance import LlguidanceBackend, with_options
from ensue.guided.quoted import with_lexemes
from ensue.request import CompiledGrammar
from tests.guided.walk import allowed, backend, vocabulary

EXAMPLES = Path(__file__).parents[2] / "examples" / "grammars"
JSON_STRING = r'"\"" ([^"\\\x7F\x00-\x1F] | [\\] (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""'


def lexemes_of(source: str) -> list[str]:
    """Regexes of more than one character in the grammar's Lark text."""
    return [word for word in gbnf_to_lark(source).replace("(/", " /").split() if "(?:" in word]


@pytest.mark.parametrize(
    "source",
    [
        f"root ::= {JSON_STRING}",
        f'root ::= string | "[" string ("," string)* "]"\nstring ::= {JSON_STRING}',
        'root ::= "\\"" char* "\\"" root?\nchar ::= [^"\\\\] | "\\\\" esc\nesc ::= ["n]',
        'root ::= "\'" [a-z ]{0,40} "\'"',
    ],
)
def test_quoted_texts_become_lexemes(source: str) -> None:
    assert len(lexemes_of(source)) > 0


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (r'root ::= "\"" [a-z]* "\"" | "\"" "b"', "another text begins so"),
        (r'root ::= "\"" [a-z]* "\"" | "\"" [a-b]* "x"', "another quoted text begins so"),
        (r'root ::= "\"" [a-z"]* "\""', "the closing character may stand within"),
        (r'root ::= "\"" ("a" | "ab")* "\""', "a character does not say which part it belongs to"),
        (r'root ::= "\"" ("a"?)* "\""', "a part may be empty"),
        (r'root ::= "\"" part* "\""' + "\n" + r'part ::= "a" part "b" | "c"', "it is not regular"),
        (r'root ::= "\"" [a-z]{0,5000} "\""', "it counts too far"),
        ("root ::= [a-z] [0-9]* [a-z] [a-z]*", "letters stand elsewhere"),
    ],
)
def test_what_a_lexer_might_read_otherwise_stays(source: str, why: str) -> None:
    assert lexemes_of(source) == [], why


def matcher_of(lark: str) -> Matcher:
    library = backend()
    assert isinstance(library, LlguidanceBackend)
    return library.load(CompiledGrammar("llguidance", with_options(lark).encode(), b""))


def assert_equal_masks(source: str, seed: int, num_steps: int = 40) -> None:
    rules, noise = read_gbnf(source), random.Random(seed)
    fast, slow = matcher_of(as_lark(with_lexemes(rules, START))), matcher_of(as_lark(rules))
    for _ in range(num_steps):
        try:
            ids = allowed(slow)
        except GenerationFailed:
            return  # too complex without lexemes
        assert allowed(fast) == ids
        assert fast.is_accepting == slow.is_accepting
        if not ids:
            return
        marks = [i for i in ids if not vocabulary().tokens[i].isalpha()]
        token_id = noise.choice(marks if marks and noise.random() < 1 / 2 else ids)
        fast.accept(token_id)
        slow.accept(token_id)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.gbnf")), ids=lambda path: path.name)
@pytest.mark.parametrize("seed", range(3))
def test_masks_of_the_examples_are_those_without_lexemes(path: Path, seed: int) -> None:
    assert_equal_masks(path.read_text(), seed)


def random_grammar(noise: random.Random) -> str:
    """Rules that quote, nest and compete for the same few characters."""
    characters = ["[a-c]", '[^"a]', '"a"', '"b"', r'"\""', '"<"', '">"', '"[" ']

    def item(depth: int) -> str:
        kind = noise.random()
        if depth == 0 or kind < 0.3:
            return noise.choice(characters)
        if kind < 0.6:
            opening, closing = noise.choice(characters), noise.choice(characters)
            return f"{opening} ({node(depth - 1)}){noise.choice(['*', '+', '{0,3}'])} {closing}"
        return noise.choice([f"({node(depth - 1)})?", "one", "two", node(depth - 1)])

    def node(depth: int) -> str:
        parts = [" ".join(item(depth) for _ in range(noise.randint(1, 2))) for _ in range(noise.randint(1, 2))]
        return " | ".join(f"({part})" if len(parts) > 1 else part for part in parts)

    quoted = noise.choice([r'"\"" ([^"\\] | "\\" ["n])* "\""', '"<" [^<>]* ">"', '"[" [a-c]{0,9} "<"'])
    return f'root ::= {node(2)} | one root\none ::= {quoted}\ntwo ::= {node(1).replace("two", "one")} | "x"'


def test_masks_of_random_grammars_are_those_without_lexemes() -> None:
    num_with_lexemes = 0
    for seed in range(150):
        source = random_grammar(random.Random(seed))
        try:
            num_with_lexemes += bool(lexemes_of(source))
            assert_equal_masks(source, seed, 12)
        except InvalidGrammar:
            continue
    assert num_with_lexemes > 20
