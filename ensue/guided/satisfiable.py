"""Whether a lowered schema has any finite value: recursion must be able to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensue.guided.lowered import Schema, with_inner


def satisfiable(schema: Schema) -> Schema | None:
    """The same schema without references to what has no value; None where it is certain that it has none itself.

    The least fixed point: a definition counts as impossible until it is shown to have a value without itself.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    possible: set[str] = set()
    while found := {name for name in definitions if name not in possible and _can_be(definitions[name], possible)}:
        possible |= found
    if not _can_be(schema, possible):
        return None
    if len(possible) == len(definitions):
        return schema
    kept = {**schema, "$defs": {name: node for name, node in definitions.items() if name in possible}}
    without = _without_impossible(kept, possible)
    return None if isinstance(without, bool) else without


def _without_impossible(node: Schema | bool, possible: set[str]) -> Schema | bool:
    """With `false` in the place of references to definitions that are not possible."""
    if isinstance(node, bool):
        return node
    if "$ref" in node and node["$ref"].removeprefix("#/$defs/") not in possible:
        return False
    return with_inner(node, lambda inner: _without_impossible(inner, possible))


def _can_be(node: Schema | bool, possible: set[str]) -> bool:
    if isinstance(node, bool):
        return node
    if "$ref" in node and node["$ref"].removeprefix("#/$defs/") not in possible:
        return False
    if not all(_can_be(part, possible) for part in node.get("allOf", ())):
        return False
    if "anyOf" in node and not any(_can_be(part, possible) for part in node["anyOf"]):
        return False
    types = node.get("type")
    if "enum" in node or types is None or set(types) - {"object", "array"}:
        return True
    if "object" in types and _object_can_be(node, possible):
        return True
    return "array" in types and _array_can_be(node, possible)


def _object_can_be(node: Schema, possible: set[str]) -> bool:
    properties, others = node.get("properties", {}), node.get("additionalProperties", True)
    is_open = bool(node.get("patternProperties"))
    return all(_can_be(properties.get(name, is_open or others), possible) for name in node.get("required", ()))


def _array_can_be(node: Schema, possible: set[str]) -> bool:
    least, prefix, rest = node.get("minItems", 0), node.get("prefixItems", []), node.get("items", True)
    needed = [*prefix[:least], *([rest] if least > len(prefix) else [])]
    return all(_can_be(item, possible) for item in needed)
