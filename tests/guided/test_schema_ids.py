"""References of and to schemas that have names of their own, within one schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.json_schema import lower
from tests.guided.walk import accepts

Json = Any
NAME = "https://example.com/schemas/order"
WHOLE, WORD = {"type": "integer"}, {"type": "string", "maxLength": 3}
DRAFT_4, DRAFT_7 = (f"http://json-schema.org/draft-0{number}/schema#" for number in (4, 7))


def order(reference: str, **inner: Json) -> Json:
    """An object with `a`, which refers to something, beside a definition n of the root and one of an inner resource."""
    item = {"$id": "item", "$defs": {"n": WORD}, **inner}
    return {
        "$id": NAME,
        "type": "object",
        "properties": {"a": {"$ref": reference}},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"n": WHOLE, "a/b %": item},
    }


SCHEMAS: list[tuple[str, Json]] = [
    ("by its name", order("item", **WORD)),
    ("by its whole name", order("https://example.com/schemas/item", **WORD)),
    ("into it", order("item#/$defs/n")),
    ("to the root's own definition", order("#/$defs/n")),
    ("to the root's own definition by name", order("order#/$defs/n")),
    ("from within, to its own definition", order("item", **{"$ref": "#/$defs/n"})),
    ("from within, to the root's definition", order("item", **{"$ref": "order#/$defs/n"})),
    ("to an anchor of two", order("item#x", **{"$anchor": "y", "allOf": [{"$anchor": "x", **WORD}]})),
    ("of draft 7 beside a reference, which hides it", {**order("#/$defs/m"), "$schema": DRAFT_7, "$defs": {
        "n": WHOLE, "m": {"$id": "item", "$ref": "#/$defs/n"}}}),
    ("of draft 4", {"$schema": DRAFT_4, "id": NAME, "type": "object", "required": ["a"], "properties": {
        "a": {"$ref": "item"}}, "definitions": {"x": {"id": "item", "allOf": [{"$ref": "#/definitions/n"}],
        "definitions": {"n": WHOLE}}, "n": WORD}}),
    ("that only looks like one", {**order("#/$defs/n"), "required": ["a"], "enum": [{"a": 1, "$id": "x"}, {"a": 1}]}),
]  # fmt: skip


@pytest.mark.parametrize("schema", [schema for _, schema in SCHEMAS], ids=[name for name, _ in SCHEMAS])
def test_references_mean_what_another_reader_takes_them_for(schema: Json) -> None:
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)
    texts = [json.dumps({"a": value}, separators=(",", ":")) for value in (1, "abc", "abcd", None)]
    valid = [text for text in texts if validator.is_valid(json.loads(text))]
    assert [text for text in texts if accepts(Constraint.of_schema(schema), text)] == valid
    assert 0 < len(valid) < len(texts)


REFUSED = ["items", "item#/$defs/m", "item#z", "https://example.com/item", "https://example.com/schemas/order#/$defs/m"]


@pytest.mark.parametrize("reference", REFUSED)
def test_references_that_lead_nowhere_are_refused(reference: str) -> None:
    with pytest.raises(InvalidGrammar, match="ref") as caught:
        lower(order(reference))
    assert caught.value.param == "properties.a.$ref"


def test_references_within_an_inner_resource_do_not_find_what_the_root_defines() -> None:
    with pytest.raises(InvalidGrammar, match="does not have"):
        lower(
            order("item", **{"$ref": "#/$defs/m"}) | {"$defs": {"m": WHOLE, "i": {"$id": "item", "$ref": "#/$defs/m"}}}
        )
