"""Constraints as rules of characters, followed by the built-in backend: what the other backends are given."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.backend import Matcher
from ensue.guided.constraint import Constraint
from ensue.guided.language import language_of, regular_language_of
from ensue.guided.llguidance import NAME, regex_source, with_options
from ensue.guided.pattern import Call, Rules, alt, literal, seq
from ensue.guided.payload import built_in_form, data_of, packed
from ensue.guided.render import as_ebnf, as_lark, as_regex, inlined
from ensue.request import CompiledGrammar
from tests.guided.schemas import random_schema
from tests.guided.test_json_schema import is_valid
from tests.guided.walk import backend, vocabulary, walk_on


def follow(source: str) -> Matcher:
    return backend().load(CompiledGrammar(NAME, source.encode(), b""))


@pytest.mark.parametrize("is_regular", [False, True])
def test_finished_texts_of_random_schemas_are_valid(is_regular: bool) -> None:
    num_finished = 0
    for seed in range(2000, 2150):
        schema = random_schema(random.Random(seed))
        try:
            constraint = Constraint.of_schema(schema)
            if is_regular:
                source = regex_source(as_regex(regular_language_of(constraint, "x")))
            else:
                source = with_options(as_lark(language_of(constraint, "x")))
        except InvalidGrammar:
            continue
        for walk_seed in range(2):
            text = walk_on(follow(source), random.Random(walk_seed), 60)
            num_finished += text is not None
            assert text is None or is_valid(schema, text), (seed, schema, text)
    assert num_finished > 100


BEYOND: list[tuple[Any, str]] = [
    ({"type": "integer", "multipleOf": 7}, "multipleOf"),
    ({"type": "integer", "multipleOf": 5, "minimum": 1}, "multipleOf"),
    ({"type": "number", "multipleOf": 0.375}, "multipleOf"),
    ({"type": "string", "pattern": "a+b+", "maxLength": 900}, "minLength and maxLength"),
    ({"type": "string", "pattern": "a", "format": "date"}, "More than one pattern"),
    ({"type": "string", "pattern": "a^b"}, "Anchors"),
    ({"type": "object", "patternProperties": {"a": {}, "b": False}}, "More than one of patternProperties"),
    ({"enum": [[1], [2]], "minItems": 1}, "minItems cannot be enforced beside lists"),
    ({"allOf": [{"patternProperties": {"a": {}}}, {"patternProperties": {"b": {}}}]}, "cannot be combined"),
    (
        {"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"patternProperties": {"a": {}}}]},
        "cannot be combined with these properties",
    ),
    ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "leads back to itself"),
]


@pytest.mark.parametrize(("schema", "words"), BEYOND, ids=[b[1] for b in BEYOND])
def test_keywords_that_cannot_be_said_are_refused_by_name(schema: Any, words: str) -> None:
    with pytest.raises(InvalidGrammar, match=words):
        language_of(Constraint.of_schema(schema), "x")


SAID: list[tuple[Any, list[str], list[str]]] = [
    ({"type": "integer", "multipleOf": 4}, ["0", "4", "-8", "112", "1000"], ["2", "-6", "110", "00"]),
    ({"type": "integer", "multipleOf": 7, "minimum": -8, "maximum": 20}, ["-7", "0", "14"], ["-14", "21", "5"]),
    ({"type": "number", "multipleOf": 0.25}, ["1", "-0.5", "3.75"], ["0.3", "0.251"]),
    ({"type": "string", "pattern": "^a+$", "minLength": 2, "maxLength": 3}, ['"aa"', '"aaa"'], ['"a"', '"aaaa"']),
    ({"type": "string", "pattern": '^["\\\\\n]$'}, ['"\\""', '"\\\\"', '"\\n"'], ['"""', '"n"']),
    ({"enum": [1, "a", None, 2.5], "type": ["number"]}, ["1", "2.5"], ['"a"', "null"]),
    ({"allOf": [{"required": ["b"]}, {"properties": {"a": {"const": 1}}}], "type": "object"}, ['{"b":2}'], ["{}"]),
    ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 1, "items": False}, ["[1]"], ["[]"]),
    ({"type": "object", "patternProperties": {"^a": {}, "^b": {}}}, ['{"a":1, "b":2}'], ["{1:2}"]),
    (
        {
            "type": "object",
            "allOf": [{"properties": {"a": True, "b": True}}, {"patternProperties": {"^a": {"const": 1}}}],
        },
        ['{"a":1, "b":2}', "{}"],
        ['{"a":2}'],
    ),
    ({"type": "object", "properties": {"a": {"const": 1}}}, ["{}", '{"a":1, "b":2}'], ['{"b":1,"a":1}', '{"a":2}']),
]


@pytest.mark.parametrize(("schema", "good", "bad"), SAID, ids=[json.dumps(s[0])[:50] for s in SAID])
def test_keywords_that_can_be_said_are(schema: Any, good: list[str], bad: list[str]) -> None:
    matcher = follow(with_options(as_lark(language_of(Constraint.of_schema(schema), "x"))))
    assert [text for text in good if not reads(matcher.fork(), text)] == []
    assert [text for text in bad if reads(matcher.fork(), text)] == []


def reads(matcher: Matcher, text: str) -> bool:
    for token_id in (vocabulary().tokens.index(bytes([byte])) for byte in text.encode()):
        if not matcher.bitmask()[token_id // 8] >> token_id % 8 & 1:
            return False
        matcher.accept(token_id)
    return matcher.is_accepting


def test_errors_name_the_backend() -> None:
    for constraint in (Constraint("grammar", 'start: "a"'), Constraint.of_schema({"type": "integer", "multipleOf": 7})):
        with pytest.raises(InvalidGrammar, match="the backend outlines"):
            regular_language_of(constraint, "outlines")


def test_rules_without_an_end_are_dropped() -> None:
    rules = Rules({"root": alt([literal("a"), Call("x")]), "x": seq([literal("b"), Call("x")]), "y": literal("c")})
    assert rules.pruned().patterns == {"root": literal("a")}
    with pytest.raises(InvalidGrammar, match="No text"):
        Rules({"root": Call("root")}).pruned()


def test_notations() -> None:
    rules = Rules(
        {
            "root": alt([seq([literal("a"), Call("x")]), literal('é"')]),
            "x": alt([literal("b"), Call("y")]),
            "y": seq(()),
        }
    )
    assert as_ebnf(rules) == 'root ::= ([a] r1 | [\\u00e9] [\\u0022])\nr1 ::= ([b] | r2)\nr2 ::= ""'
    assert as_lark(rules) == 'start: (/[a]/ r1 | /[\\x{e9}]/ /[\\x{22}]/)\nr1: (/[b]/ | r2)\nr2: ""'
    assert as_regex(inlined(rules)) == "(?:[a](?:[b]|)|[\\u00e9][\\u0022])"
    with pytest.raises(InvalidGrammar, match="refers to itself"):
        inlined(Rules({"root": alt([literal("a"), Call("root")])}))


def test_a_payload_holds_both_forms() -> None:
    grammar = packed("outlines", "start: é", b"\x00data")
    assert data_of(grammar) == b"\x00data"
    assert built_in_form(grammar).payload.decode() == "start: é"
    assert packed("xgrammar", "start: é", b"\x00data").digest != grammar.digest
    assert built_in_form(built_in_form(grammar)).payload.decode() == "start: é"
