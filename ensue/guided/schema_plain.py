"""A lowered schema as alternatives without allOf, anyOf and $ref, which are merged into what stands beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.rust_regex import anywhere
from ensue.guided.schema_fits import matches
from ensue.guided.schema_part import TYPES, Schema
from ensue.guided.schema_values import json_equal

MAX_ALTERNATIVES = 256
_COMBINING = ("$ref", "$defs", "allOf", "anyOf")
_HIGHER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LOWER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")

Definitions = Mapping[str, Schema | bool]


def alternatives(schema: Schema | bool, definitions: Definitions) -> list[Schema]:
    """Schemas without combining keywords, of which a value must fit one.

    Raises:
        InvalidGrammar: too many, or keywords that can't be merged.
    """
    return _expanded(schema, definitions, frozenset())


def _expanded(schema: Schema | bool, definitions: Definitions, seen: frozenset[str]) -> list[Schema]:
    """
    Args:
        seen: references on the way here; readers of schemas would follow one that comes again for ever.
    """
    if isinstance(schema, bool):
        return [{}] if schema else []
    found = [_own(schema)]
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        if name in seen:
            raise InvalidGrammar("A $ref leads back to itself at the same value.")
        found = _products(found, _expanded(definitions[name], definitions, seen | {name}))
    for part in schema.get("allOf", ()):
        found = _products(found, _expanded(part, definitions, seen))
    if "anyOf" in schema:
        branches = [_expanded(branch, definitions, seen) for branch in schema["anyOf"]]
        found = _products(found, [one for branch in branches for one in branch])
    return found


def _own(schema: Schema) -> Schema:
    own = {keyword: value for keyword, value in schema.items() if keyword not in _COMBINING}
    if "type" in own:
        own["type"] = [own["type"]] if isinstance(own["type"], str) else own["type"]
    if "pattern" in own:
        own["pattern"] = [own["pattern"]]
    return own


def _products(some: list[Schema], others: list[Schema]) -> list[Schema]:
    if len(some) * len(others) > MAX_ALTERNATIVES:
        raise InvalidGrammar(f"The schema combines more than {MAX_ALTERNATIVES} alternatives.")
    return [merged for one in some for other in others if (merged := _merged(one, other)) is not None]


def _merged(one: Schema, other: Schema) -> Schema | None:
    """Both at once; None where no value fits both."""
    out = {**one, **other}
    for keyword in one.keys() & other.keys():
        if keyword in _MERGES:
            out[keyword] = _MERGES[keyword](one[keyword], other[keyword])
    if one.keys() & _OBJECT_KEYWORDS and other.keys() & _OBJECT_KEYWORDS:
        out.update(_merged_objects(one, other))
    if one.keys() & {"items", "prefixItems"} and other.keys() & {"items", "prefixItems"}:
        out.update(_merged_items(one, other))
    return None if out.get("type") == [] or out.get("enum") == [] else out


def both(one: Schema | bool, other: Schema | bool) -> Schema | bool:
    """A schema for values that fit both; the shorter for it, so that equal ones are spelled alike."""
    if one is False or other is False:
        return False
    parts: list[Schema] = []
    for schema in (one, other):
        inner: list[Schema | bool] = [schema]
        if isinstance(schema, dict) and set(schema) == {"allOf"}:
            inner = schema["allOf"]
        parts += [part for part in inner if isinstance(part, dict) and part and part not in parts]
    return parts[0] if len(parts) == 1 else {"allOf": parts} if parts else True


def _types(one: list[str], other: list[str]) -> list[str]:
    def has(types: list[str], name: str) -> bool:
        return name in types or (name == "integer" and "number" in types)

    both_have = [name for name in TYPES if has(one, name) and has(other, name)]
    return [name for name in both_have if name != "integer" or "number" not in both_have]


def _enums(one: list[Any], other: list[Any]) -> list[Any]:
    return [value for value in one if any(json_equal(value, item) for item in other)]


def _patterns(one: list[str], other: list[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _steps(one: float, other: float) -> float:
    if isinstance(one, float) or isinstance(other, float):
        raise InvalidGrammar("Two values of multipleOf that are no whole numbers cannot be enforced together.")
    return math.lcm(one, other)


_MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": _enums,
    "pattern": _patterns,
    "multipleOf": _steps,
    **dict.fromkeys(_HIGHER, max),
    **dict.fromkeys(_LOWER, min),
}
_OBJECT_KEYWORDS = {"properties", "patternProperties", "additionalProperties", "required"}


def _merged_objects(one: Schema, other: Schema) -> Schema:
    """Each side's properties are what the other side calls additional, unless it names them, too."""
    patterns = [side["patternProperties"] for side in (one, other) if side.get("patternProperties")]
    mine, yours = one.get("properties", {}), other.get("properties", {})
    rest_of_one, rest_of_other = (side.get("additionalProperties", True) for side in (one, other))
    names = [*mine, *(name for name in yours if name not in mine)]
    out: Schema = {
        "properties": {name: both(_said(one, name), _said(other, name)) for name in names},
        "additionalProperties": both(rest_of_one, rest_of_other),
        "required": list(dict.fromkeys([*one.get("required", ()), *other.get("required", ())])),
    }
    if len(patterns) == 1:
        rest = rest_of_other if one.get("patternProperties") else rest_of_one
        out["patternProperties"] = {pattern: both(node, rest) for pattern, node in patterns[0].items()}
        if rest is not True and any(
            _fitting(out, name) for name in names
        ):  # of them, the other side's rest says nothing
            raise InvalidGrammar("patternProperties cannot be combined with these properties by this backend.")
    elif patterns and patterns[0] != patterns[1]:
        raise InvalidGrammar("Two different patternProperties cannot be combined by this backend.")
    return out


def _said(schema: Schema, name: str) -> Schema | bool:
    """What a schema says of the property of this name."""
    said = _fitting(schema, name)
    own: Schema | bool = schema.get("properties", {}).get(
        name, True if said else schema.get("additionalProperties", True)
    )
    return reduce(both, said, own)


def _fitting(schema: Schema, name: str) -> list[Schema | bool]:
    """Of patternProperties, those that speak of this name."""
    return [node for regex, node in schema.get("patternProperties", {}).items() if matches(anywhere(regex), name)]


def _merged_items(one: Schema, other: Schema) -> Schema:
    rest_of_one, rest_of_other = (side.get("items", True) for side in (one, other))
    mine, yours = one.get("prefixItems", []), other.get("prefixItems", [])
    prefix = [
        both(mine[i] if i < len(mine) else rest_of_one, yours[i] if i < len(yours) else rest_of_other)
        for i in range(max(len(mine), len(yours)))
    ]
    return {"prefixItems": prefix, "items": both(rest_of_one, rest_of_other)}
