"""References that lead in circles beside other keywords, and names that several patterns speak of."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.schema_circles import without_circles
from tests.guided.walk import accepts, walk

Json = Any
NODE, LOOP = {"$ref": "#/$defs/n"}, {"type": "object", "additionalProperties": False}


def circle(inner: Json, **beside: Json) -> Json:
    return {"$defs": {"n": {**LOOP, "properties": {"a": inner, "b": {"type": "integer"}}, **beside}}, **NODE}


CIRCLES: list[tuple[str, Json]] = [
    ("beside required", circle({"allOf": [NODE, {"required": ["b"]}]})),
    ("with a neighbour", circle({**NODE, "required": ["b"]})),
    ("in one of two", circle({"anyOf": [{"type": "null"}, {**NODE, "required": ["b"]}]})),
    ("where one is impossible", circle({"anyOf": [{"allOf": [NODE, {"type": "null"}]}, {"type": "null"}, NODE]})),
    ("as items", circle({"type": "array", "items": {**NODE, "maxProperties": 1}})),
    ("through a definition", {**circle({"$ref": "#/$defs/m"}), "$defs": {
        **circle({"$ref": "#/$defs/m"})["$defs"], "m": {**NODE, "required": ["b"]}}}),
    ("with if", circle({"if": {"required": ["b"]}, "then": NODE, "else": {"type": "null"}})),
]  # fmt: skip
TEXTS = ["{}", '{"b":1}', '{"a":{}}', '{"a":{"b":1}}', '{"a":{"a":{"b":1},"b":1},"b":2}', '{"a":{"a":{},"b":1}}']
TEXTS += ['{"a":null}', '{"a":[]}', '{"a":[{"b":1}]}', '{"a":[{"a":[],"b":1}]}', '{"c":1}']


@pytest.mark.parametrize("schema", [schema for _, schema in CIRCLES], ids=[name for name, _ in CIRCLES])
def test_circles_beside_other_keywords_allow_valid_texts_only(schema: Json) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    constraint = Constraint.of_schema(schema)
    taken = [text for text in TEXTS if accepts(constraint, text)]
    assert [text for text in taken if not validator.is_valid(json.loads(text))] == []
    assert len(taken) > 2
    walks = [text for seed in range(10) if (text := walk(constraint, seed)) is not None]
    assert [text for text in walks if not validator.is_valid(json.loads(text))] == []


def test_a_circle_at_the_same_value_is_refused() -> None:
    with pytest.raises(InvalidGrammar, match="back to itself"):
        without_circles({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": ["null"]}]}}})


def test_references_that_double_at_each_step_are_refused() -> None:
    pairs = {str(i): {"allOf": [{"$ref": f"#/$defs/{i + 1}"}, {"$ref": f"#/$defs/{i + 1}"}]} for i in range(40)}
    with pytest.raises(InvalidGrammar, match="too many"):
        without_circles({"$ref": "#/$defs/0", "$defs": {**pairs, "40": {"type": ["null"]}}})


def test_of_a_name_that_two_patterns_fit_both_hold() -> None:
    patterns = {"^a": {"type": "integer"}, "b$": {"minimum": 3, "maximum": 8}}
    schema = {"type": "object", "patternProperties": patterns, "additionalProperties": False}
    constraint = Constraint.of_schema(schema)
    assert [v for v in (2, 3.5, 5) if accepts(constraint, f'{{"ab":{v}}}')] == [5]
    assert accepts(constraint, '{"a":4,"b":5}')
    assert not accepts(constraint, '{"c":4}')
