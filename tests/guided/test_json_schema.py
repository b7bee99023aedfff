"""Which schemas are enforced, which are refused and why, and that finished texts satisfy them."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.json_schema import lower
from tests.guided.schemas import random_schema
from tests.guided.walk import accepts, backend, walk, walk_on

Json = Any
NODE = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"]}
OBJECT: Json = {"type": "object", "properties": {"a": True, "b": True}}
CLOSED: Json = {"type": "object", "additionalProperties": False}


def is_valid(schema: Json, text: str) -> bool:
    validator = jsonschema.Draft202012Validator
    return bool(validator(schema, format_checker=validator.FORMAT_CHECKER).is_valid(json.loads(text)))


# keyword: schema, texts that it allows, texts that it forbids
ENFORCED: list[tuple[str, Json, list[str], list[str]]] = [
    ("type", {"type": ["integer", "null"]}, ["5", "-3", "null"], ["1.5", '"a"', "true"]),
    ("enum", {"enum": [1, "é", None, {"a": [1]}]}, ["1", '"é"', "null", '{"a":[1]}'], ["2", '"e"']),
    ("const", {"const": "a"}, ['"a"'], ['"b"', '"a', "1"]),
    ("properties", {"properties": {"a": {"type": "null"}}, **CLOSED}, ["{}", '{"a":null}'], ['{"a":1}', '{"b":1}']),
    ("order", {**CLOSED, "properties": {"b": True, "a": True}}, ['{"b":1, "a":2}'], ['{"a":2,"b":1}']),
    ("required", {"properties": {"a": True}, "required": ["a"], "type": "object"}, ['{"a":1}'], ["{}", '{"b":1}']),
    ("patternProperties", {**CLOSED, "patternProperties": {"^x": {"const": 1}}}, ['{"xy":1}'], ['{"xy":2}', '{"a":1}']),
    ("additionalProperties", {"type": "object", "additionalProperties": {"const": 1}}, ['{"q":1}'], ['{"q":2}']),
    ("unevaluatedProperties", {"type": "object", "unevaluatedProperties": False}, ["{}"], ['{"a":1}']),
    ("minProperties", {**CLOSED, "properties": {"a": True, "b": True}, "minProperties": 1}, ['{"b":1}'], ["{}"]),
    ("maxProperties", {"type": "object", "maxProperties": 1}, ["{}", '{"a":1}'], ['{"a":1,"b":1}']),
    (
        "dependentRequired",
        {**CLOSED, "properties": {"a": True, "b": True}, "dependentRequired": {"a": ["b"]}},
        ["{}", '{"b":1}', '{"a":1,"b":1}'],
        ['{"a":1}'],
    ),
    (
        "minProperties above those required",
        {**CLOSED, "properties": dict.fromkeys("abc", True), "required": ["a"], "minProperties": 2},
        ['{"a":1,"b":1}', '{"a":1,"c":1}', '{"a":1,"b":1,"c":1}'],
        ['{"a":1}', '{"b":1,"c":1}'],
    ),
    (
        "maxProperties beside optional ones",
        {**CLOSED, "properties": dict.fromkeys("abc", True), "maxProperties": 2},
        ["{}", '{"b":1}', '{"a":1,"c":1}'],
        ['{"a":1,"b":1,"c":1}'],
    ),
    (
        "just one property",
        {"type": "object", "properties": dict.fromkeys("abcd", True), "minProperties": 1, "maxProperties": 1},
        ['{"a":1}', '{"d":1}'],
        ["{}", '{"a":1,"b":1}', '{"a":1,"x":1}'],
    ),
    ("propertyNames of an enum", {"type": "object", "propertyNames": {"enum": ["a", "b"]}}, ['{"b":1}'], ['{"c":1}']),
    (
        "propertyNames with a length",
        {"type": "object", "propertyNames": {"maxLength": 2}},
        ['{"é😀":1}'],
        ['{"abc":1}'],
    ),
    (
        "propertyNames with a pattern and lengths",
        {"type": "object", "propertyNames": {"pattern": "^[a-z]+[0-9]?$", "minLength": 2, "maxLength": 3}},
        ['{"ab":1}', '{"ab1":1}'],
        ['{"a":1}', '{"abc1":1}', '{"A1":1}'],
    ),
    (
        "propertyNames with a format and a length",
        {"type": "object", "propertyNames": {"type": "string", "format": "date", "minLength": 1}},
        ['{"2024-02-29":1}'],
        ['{"":1}', '{"2023-02-29":1}'],
    ),
    (
        "propertyNames but one",
        {"type": "object", "properties": {"a": True, "b": True}, "propertyNames": {"not": {"enum": ["a", "c"]}}},
        ['{"b":1}', '{"d":1}'],
        ['{"a":1}', '{"c":1}'],
    ),
    (
        "propertyNames without a pattern",
        {"type": "object", "propertyNames": {"not": {"type": "string", "pattern": "^(a|b)+$"}}},
        ['{"c":1}'],
        ['{"a":1}', '{"ab":1}'],
    ),
    (
        "propertyNames beside properties",
        {"type": "object", "properties": {"a": True, "bb": True}, "propertyNames": {"pattern": "^.$"}},
        ['{"a":1}', '{"c":1}', "{}"],
        ['{"bb":1}'],
    ),
    (
        "patternProperties that readers take for wider",
        {"type": "object", "patternProperties": {r"^\w$": {"const": 1}}},
        ['{"a":1}', '{"é":1}', '{"ab":2}'],
        ['{"a":2}', '{"é":2}'],
    ),
    (
        "unevaluatedProperties beside allOf",
        {
            **OBJECT,
            "allOf": [{"$ref": "#/$defs/o"}],
            "unevaluatedProperties": False,
            "$defs": {"o": {"properties": {"a": True}}},
        },
        ["{}", '{"a":1}'],
        ['{"c":1}'],
    ),
    (
        "uniqueItems of listed values",
        {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True},
        ["[]", '["b"]', '["a",1]', '["a","b",1]'],
        ['["a","a"]', '["b","b"]', "[1,1]"],
    ),
    (
        "uniqueItems of strings",
        {"type": "array", "items": {"type": "string", "minLength": 2}, "uniqueItems": True, "minItems": 1},
        ['["ab"]', '["ab","zz"]', '["1a","an","hi","yo"]'],
        ["[]", '["a"]', '["ab","ab"]'],
    ),
    ("uniqueItems of anything", {"type": "array", "uniqueItems": True}, ["[]", "[1]"], ["[1,1]", "[1,2]"]),
    ("contains", {"type": "array", "contains": {"const": 1}}, ["[1]", "[1,2]"], ["[]", "[2]"]),
    (
        "contains, counted",
        {"type": "array", "contains": {"type": "null"}, "minContains": 1, "maxContains": 2},
        ["[null]", "[null,null,1]", "[null,1,2]"],
        ["[]", "[1]", "[null,null,null]"],
    ),
    ("propertyNames", {"type": "object", "propertyNames": {"pattern": "^x+$"}}, ['{"xx":1}'], ['{"a":1}']),
    ("items", {"type": "array", "items": {"const": 1}}, ["[]", "[1, 1]"], ["[2]"]),
    ("prefixItems", {"type": "array", "prefixItems": [{"const": 1}], "items": False}, ["[]", "[1]"], ["[2]", "[1,1]"]),
    ("items as a list", {"type": "array", "items": [{"const": 1}], "additionalItems": False}, ["[1]"], ["[1,1]"]),
    ("minItems", {"type": "array", "minItems": 1, "maxItems": 2}, ["[1]", "[1,2]"], ["[]", "[1,2,3]"]),
    ("minLength", {"type": "string", "minLength": 1, "maxLength": 2}, ['"é"', '"😀😀"'], ['""', '"abc"']),
    ("pattern", {"type": "string", "pattern": "b+"}, ['"b"', '"abbc"'], ['"a"']),
    ("minimum", {"type": "integer", "minimum": -2, "exclusiveMaximum": 3}, ["-2", "0", "2"], ["-3", "3"]),
    ("exclusiveMinimum", {"type": "number", "exclusiveMinimum": 5, "maximum": 5.5}, ["5.5", "5.25"], ["5", "5.0"]),
    ("multipleOf", {"type": "number", "multipleOf": 7}, ["0", "14"], ["8", "7.5"]),
    ("multipleOf a fraction", {"type": "number", "multipleOf": 0.25}, ["1", "1.25"], ["1.3"]),
    (
        "multipleOf a decimal",
        {"type": "number", "multipleOf": 0.01, "minimum": 0},
        ["0", "0.25", "7", "1.99", "1999"],
        ["0.001", "-1", "0.255"],
    ),
    ("allOf", {"allOf": [{"type": "integer"}, {"minimum": 3}]}, ["3"], ["2", '"a"']),
    ("anyOf", {"anyOf": [{"type": "integer"}, {"const": "a"}]}, ["3", '"a"'], ['"b"']),
    ("oneOf by type", {"oneOf": [{"type": "integer"}, {"type": "string"}]}, ["3", '"a"'], ["null"]),
    ("oneOf by const", {"oneOf": [{"const": 1}, {"const": 2}]}, ["1", "2"], ["3"]),
    (
        "oneOf by property",
        {"oneOf": [{**CLOSED, "properties": {"k": {"const": k}}, "required": ["k"]} for k in "ab"]},
        ['{"k":"a"}', '{"k":"b"}'],
        ["{}", '{"k":"c"}'],
    ),
    (
        "oneOf told apart by what is required around it",
        {
            "type": "object",
            "required": ["t"],
            "oneOf": [{"$ref": "#/$defs/a"}, {"properties": {"t": {"const": 2}}}],
            "$defs": {"a": {"properties": {"t": {"const": 1}, "n": {"type": "array", "items": {"const": [1]}}}}},
        },
        ['{"t":1,"n":[[1]]}', '{"t":2,"n":[1]}', '{"t":1,"x":1}'],
        ['{"n":[]}', '{"t":1,"n":[1]}', '{"t":3}', "1"],
    ),
    ("oneOf that overlaps", {"oneOf": [{"type": "integer"}, {"minimum": 5}]}, ["3", "-1", "null"], ["5", "7", "4.5"]),
    (
        "oneOf, one branch deniable",
        {"oneOf": [{"pattern": "a+"}, {"type": "string", "minLength": 2}]},
        ['"a"'],
        ['"aa"'],
    ),
    (
        "oneOf by what is required",
        {**OBJECT, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        ['{"a":1}', '{"b":1}'],
        ["{}", '{"a":1,"b":1}'],
    ),
    ("not contains", {"type": "array", "not": {"contains": {"type": "null"}}}, ["[]", "[1]"], ["[null]", "[1,null]"]),
    ("not items", {"type": "array", "not": {"items": {"type": "null"}}}, ["[1]", "[1,null]"], ["[]", "[null]"]),
    ("not a pattern", {"type": "string", "not": {"pattern": "^a"}}, ['""', '"ba"'], ['"a"', '"ab"']),
    ("not a const", {"not": {"const": 5}, "type": "integer"}, ["4", "6", "-5", "55"], ["5", "5.0"]),
    (
        "not an enum",
        {"not": {"enum": ["ab", "b", "", True, 1, 3]}},
        ['"a"', '"abc"', '"ba"', "false", "2", "0.5", "null", "[]"],
        ['"ab"', '"b"', '""', "true", "1", "3"],
    ),
    ("not both", {"type": "string", "not": {"minLength": 2, "maxLength": 3}}, ['"a"', '"abcd"'], ['"ab"', '"abc"']),
    ("not any", {"not": {"anyOf": [{"type": "string"}, {"minimum": 3}]}}, ["2"], ["null", '"a"', "3"]),
    ("not not", {"not": {"not": {"const": "a"}}}, ['"a"'], ['"b"']),
    (
        "not a property",
        {**CLOSED, "properties": {"a": True}, "not": {"properties": {"a": {"type": "integer"}}}},
        ['{"a":"x"}', '{"a":null}'],
        ["{}", '{"a":1}'],
    ),
    ("not a type", {"not": {"type": ["string", "number"]}}, ["null", "[]"], ['"a"', "1"]),
    ("not required", {"not": {"required": ["a"]}}, ["{}", '{"b":1}'], ['{"a":1}', "1"]),
    (
        "if",
        {
            "type": "object",
            "properties": {"k": {"enum": ["a", "b"]}, "x": {"type": "integer"}},
            "required": ["k"],
            "additionalProperties": False,
            "if": {"properties": {"k": {"const": "a"}}, "required": ["k"]},
            "then": {"required": ["x"]},
        },
        ['{"k":"a","x":1}', '{"k":"b"}'],
        ['{"k":"a"}'],
    ),
    ("$ref", {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}, "minimum": 2}, ["2"], ["1", '"a"']),
    ("$ref to an anchor", {"$ref": "#n", "$defs": {"n": {"$anchor": "n", "const": 1}}}, ["1"], ["2"]),
    ("$dynamicRef", {"$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n", "const": 1}}}, ["1"], ["2"]),
    (
        "uri-reference",
        {"type": "string", "format": "uri-reference"},
        ['"urn:isbn:0-395"', '"/a/b?c"', '"#x"', '"../a"', '"a/b:c"'],
        ['"a b"', '"a:"'],
    ),
    ("not a format", {"type": "string", "not": {"format": "email"}}, ['"a.de"'], ['"a@b.de"']),
    (
        "oneOf by what is allowed",
        {"oneOf": [{**CLOSED, "patternProperties": {"^x-": {}}}, {"type": "object", "required": ["$ref"]}]},
        ['{"x-a":1}', '{"$ref":1}'],
        ['{"a":1}'],
    ),
    (
        "references to what cannot be",
        {
            **CLOSED,
            "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"anyOf": [{"$ref": "#/$defs/x"}, {"const": 1}]}},
            "$defs": {"x": {"allOf": [{"$ref": "#/$defs/y"}]}, "y": {**CLOSED, "required": ["q"]}},
        },
        ["{}", '{"b":1}'],
        ['{"a":{}}'],
    ),
    (
        "propertyNames that allow every name, beside additionalProperties",
        {"type": "object", "additionalProperties": {"const": 1}, "propertyNames": {"type": "string"}},
        ['{"x":1}'],
        ['{"x":2}'],
    ),
    (
        "propertyNames beside additionalProperties",
        {"type": "object", "additionalProperties": {"const": 1}, "propertyNames": {"pattern": "^x"}},
        ['{"x":1}', "{}"],
        ['{"x":2}', '{"a":1}'],
    ),
    ("recursion", {**NODE, "additionalProperties": False}, ['{"v":1}', '{"v":1, "next": {"v":2}}'], ['{"next":{}}']),
    ("unique names", {"properties": {"a": {"const": 1}}, "type": "object"}, ['{"a":1}'], ['{"\\u0061":2}']),
    (
        "pattern of all but some marks",
        {"type": "string", "pattern": '^[^"]*$', "maxLength": 4},
        ['"a"', '"\\n"', '"é\\\\"'],
        ['"\\""', '"a\\"b"', '"é\\""'],
    ),
    ("pattern beyond ASCII", {"type": "string", "pattern": "^[^ -~]{2}$"}, ['"éé"'], ['"\\\\é"', '"é\\""']),
    ("pattern of names", {"type": "object", "patternProperties": {'^[^"]$': {}}} | CLOSED, ['{"a":1}'], ['{"\\"":1}']),
    ("multipleOf a small half", {"type": "number", "multipleOf": 2**-10}, ["1", "0.0009765625"], ["0.6404342296"]),
    ("multipleOf 7.75", {"type": "number", "multipleOf": 7.75}, ["7.75", "31"], ["7234668553000143.50"]),
    (
        "bounds of many digits",
        {"type": "number", "maximum": 0.1 + 0.2},
        ["0.3", "0.2999"],
        ["0.3000000000000001"],
    ),
    ("multipleOf a third", {"type": "number", "multipleOf": 1 / 3}, ["2", "0"], ["0.3333333333333333", "0.5"]),
    (
        "prefixItems in a draft that has none",
        {"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{"const": 1}], "items": {"const": 2}},
        ["[2]"],
        ["[1]", "[1,2]"],
    ),
    (
        "minContains in a draft that has none",
        {"$schema": "http://json-schema.org/draft-06/schema#", "type": "array", "contains": True, "minContains": 0},
        ["[2]"],
        ["[]"],
    ),
    ("annotations", {"title": "t", "x-mine": 1, "default": 3, "format": "int32", "type": "null"}, ["null"], ["1"]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), [c[1:] for c in ENFORCED], ids=[c[0] for c in ENFORCED])
def test_keywords_are_enforced(schema: Json, good: list[str], bad: list[str]) -> None:
    constraint = Constraint.of_schema(schema)
    assert [text for text in good if not accepts(constraint, text)] == []
    assert [text for text in bad if accepts(constraint, text)] == []


REFUSED: list[tuple[Json, str | None, str]] = [
    ({"properties": {"a": {"type": "string", "pattern": "(?=a)b"}}}, "properties.a.pattern", "Look-around"),
    ({"properties": {"a": {"pattern": r"(a)\1"}}}, "properties.a.pattern", "Back-references"),
    ({"items": {"uniqueItems": True, "minItems": 2, "items": {"type": "null"}}}, "items.uniqueItems", "uniqueItems"),
    ({"anyOf": [True, {"contains": True, "minContains": 99}]}, "anyOf[1].contains", "contains"),
    ({"oneOf": [{"pattern": "a*"}, {"format": "hostname"}]}, "oneOf", "branches 0 and 1"),
    ({"not": {"pattern": "a*"}}, "not.pattern", "denial of this pattern"),
    ({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"properties": {"n": {"$ref": "#/$defs/a"}}}}}, "not", "deep"),
    ({"propertyNames": {"enum": ["a"], "pattern": "a"}}, "propertyNames", "only with one of"),
    ({"propertyNames": {"not": {"pattern": "a*"}}}, "propertyNames.not", "denial of this pattern"),
    ({"propertyNames": {"pattern": "a"}, "patternProperties": {"b": True}}, "propertyNames", "beside"),
    ({"not": {"const": [1]}}, "not.const", "Lists and objects"),
    ({"if": {"format": "hostname"}, "then": False}, "if.format", "denial of this format"),
    ({"$dynamicRef": "#a"}, "$dynamicRef", "does not have"),
    (
        {"$recursiveRef": "#", "$defs": {"a": {"$id": "https://example.com/a"}}},
        "$recursiveRef",
        "depends on the way",
    ),
    ({"extends": {}}, "extends", "cannot be enforced"),
    ({"properties": {"a": {"$ref": "https://example.com/schema"}}}, "properties.a.$ref", "nothing is ever fetched"),
    ({"$ref": "file:///etc/passwd"}, "$ref", "nothing is ever fetched"),
    ({"$ref": "#/$defs/x"}, "$ref", "does not have"),
    ({"type": "foo"}, "type", "one or more of"),
    ({"properties": {"a": 3}}, "properties.a", "object or a boolean"),
    ({"enum": []}, "enum", "at least one"),
    ({"multipleOf": 1e-9, "minimum": 1}, "multipleOf", "too small"),
    ({"enum": [1, 123456789.12345679]}, "enum[1]", "at most 15 digits"),
    ({"type": "integer", "multipleOf": 1e10}, "multipleOf", "at most"),
    ({"type": "string", "pattern": "^a*+a$"}, "pattern", "quantifier"),
    ({"type": "string", "pattern": "^a{2}{3}$"}, "pattern", "quantifier"),
    ({"type": "string", "pattern": "^a{,2}$"}, "pattern", "{0,n}"),
    ({"minLength": -1}, "minLength", "whole number"),
    ({"const": "\ud800"}, "const", "half a character"),
    ({"type": "object", "minProperties": 2}, "minProperties", "minProperties"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, None, "No value that can be generated fits the schema"),
    ({"type": "string", "pattern": "^a$", "maxLength": 0}, None, "no text matches all that is said of a string"),
    ({"type": "string", "pattern": "a$b"}, None, "within a regex"),
    (
        {
            "allOf": [
                {"patternProperties": {"^a": {"type": "null"}}},
                {"patternProperties": {"b$": {"type": "integer"}}},
            ]
        },
        None,
        "Two of patternProperties match one name",
    ),
    ({"$ref": "#"}, None, "no value that ever ends"),
    ({**NODE, "required": ["next"]}, None, "no value that ever ends"),
    (False, None, "allows no value"),
    ([], None, "object or a boolean"),
]


@pytest.mark.parametrize(("schema", "place", "words"), REFUSED, ids=[str(c[0])[:40] for c in REFUSED])
def test_what_cannot_be_enforced_is_refused_by_name_and_place(schema: Json, place: str | None, words: str) -> None:
    with pytest.raises(InvalidGrammar, match=words) as caught:
        backend().compile(Constraint.of_schema(schema))
    assert caught.value.param == place


def test_recursion_through_names_that_match_a_pattern_is_accepted() -> None:
    schema = {
        **CLOSED,
        "properties": {"p": {"additionalProperties": {"$ref": "#"}, "propertyNames": {"format": "regex"}}},
    }
    assert accepts(Constraint.of_schema(schema), '{"p":{"a":{}}}')


def test_definitions_that_nothing_refers_to_are_not_looked_at() -> None:
    assert lower({"type": "null", "$defs": {"x": {"extends": {}}}}) == {"type": ["null"]}


def test_a_reference_hides_its_neighbours_in_old_drafts_only() -> None:
    schema = {"definitions": {"n": {"type": "integer"}}, "$ref": "#/definitions/n", "minimum": 5}
    old = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    assert accepts(Constraint.of_schema(old), "3")
    assert not accepts(Constraint.of_schema(schema), "3")


FORMATS = ["date", "time", "date-time", "duration", "uuid", "email", "hostname", "ipv4", "ipv6", "uri", "uri-reference"]
MORE_FORMATS = ["iri", "idn-email", "idn-hostname", "json-pointer", "relative-json-pointer", "regex", "uri-template"]


@pytest.mark.parametrize("name", FORMATS + MORE_FORMATS)
def test_formats_hold(name: str) -> None:
    constraint = Constraint.of_schema({"type": "string", "format": name})
    texts = [text for seed in range(25) if (text := walk(constraint, seed)) is not None]
    assert len(texts) >= 5
    assert [text for text in texts if not is_valid({"format": name}, text)] == []


SPACES = [
    (None, ['{"a":1,"b":2}', '{"a": 1, "b": 2}'], ['{ "a":1,"b":2}', '{"a":  1,"b":2}']),
    ("", ['{"a":1,"b":2}'], ['{"a": 1,"b":2}']),
    ("[ \\n]*", ['{ \n\n "a" : 1,"b":2 }'], ['{\t"a":1,"b":2}']),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), SPACES)
def test_white_space_is_what_the_pattern_says(pattern: str | None, good: list[str], bad: list[str]) -> None:
    schema = {"type": "object", "properties": {"a": True, "b": True}, "required": ["a", "b"]}
    constraint = Constraint.of_schema(schema, pattern)
    assert all(accepts(constraint, text) for text in good)
    assert not any(accepts(constraint, text) for text in bad)


@pytest.mark.parametrize("pattern", ["x", "[ x]*", "a?", "("])
def test_white_space_patterns_match_white_space_only(pattern: str) -> None:
    with pytest.raises(InvalidGrammar):
        backend().compile(Constraint.of_schema({}, pattern))


def test_finished_texts_of_random_schemas_are_valid() -> None:
    """The masks do all the work: tokens are drawn from noise."""
    num_finished = 0
    for seed in range(500):
        schema = random_schema(random.Random(seed))
        try:
            grammar = backend().compile(Constraint.of_schema(schema))
        except InvalidGrammar:
            continue
        for walk_seed in range(2):
            text = walk_on(backend().load(grammar), random.Random(walk_seed), 60)
            num_finished += text is not None
            assert text is None or is_valid(schema, text), (seed, schema, text)
    assert num_finished > 400
