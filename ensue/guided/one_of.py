"""Whether two schemas can have a value in common: `oneOf` is `anyOf` where no two branches can."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ensue.guided.schema_values import json_equal, type_of

Resolve = Callable[[Any], Any]  # a $ref → the schema that it names
Visible = Callable[[Any], Any]  # a schema → that of it which says something
_ALL = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
_MAX_DEPTH = 8


def overlaps(
    branches: Sequence[Any], parent: Mapping[str, Any], resolve: Resolve, visible: Visible
) -> list[tuple[int, int]]:
    """The pairs of branches that are not certain to exclude each other.

    Args:
        parent: the schema around the branches; its type, and what it requires, hold for all of them.
    """
    around = _Around(_own_types(parent), _list(parent, "required"))
    pairs = combinations(enumerate(branches), 2)
    return [(i, j) for (i, one), (j, other) in pairs if not _Pair(resolve, visible, around).excludes(one, other, 0)]


class _Around(NamedTuple):
    """What is known of a value whatever the two schemas say."""

    types: frozenset[str]
    required: Sequence[Any]


_ANYTHING = _Around(_ALL, ())


class _Pair:
    """Compares schemas on one value; says "excludes" only where it is certain."""

    def __init__(self, resolve: Resolve, visible: Visible, around: _Around) -> None:
        self._resolve, self._visible = resolve, visible
        self._around = around

    def excludes(self, one: Any, other: Any, depth: int) -> bool:
        if depth > _MAX_DEPTH:
            return False
        one, other = self._visible(one), self._visible(other)
        if one is False or other is False:
            return True
        if not isinstance(one, dict) or not isinstance(other, dict):
            return False
        return (
            self._by_type(one, other)
            or self._by_values(one, other)
            or self._by_property(one, other, depth)
            or self._by_parts(one, other, depth)
            or self._by_parts(other, one, depth)
        )

    def _by_type(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        return not self._types(one) & self._types(other)

    def _types(self, node: dict[str, Any]) -> frozenset[str]:
        """An upper bound: `number` stands for numbers that are not whole."""
        types = _own_types(node) & self._around.types
        values = _values(node)
        return types if values is None else types & {type_of(value) for value in values}

    def _by_values(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        mine, yours = _values(one), _values(other)
        if mine is None or yours is None:
            return False
        return not any(json_equal(a, b) for a in mine for b in yours)

    def _by_property(self, one: dict[str, Any], other: dict[str, Any], depth: int) -> bool:
        """Some property that must be there can't fit both."""
        if self._types(one) & self._types(other) != {"object"}:
            return False
        required = [*_list(one, "required"), *_list(other, "required"), *self._around.required]
        inner = _Pair(self._resolve, self._visible, _ANYTHING)
        names = dict.fromkeys(name for name in required if isinstance(name, str))
        return any(inner.excludes(_property(one, name), _property(other, name), depth + 1) for name in names)

    def _by_parts(self, one: dict[str, Any], other: dict[str, Any], depth: int) -> bool:
        """What one of the schemas is made of excludes the other."""
        if "$ref" in one and self.excludes(self._resolve(one["$ref"]), other, depth + 1):
            return True
        if any(self.excludes(part, other, depth + 1) for part in _list(one, "allOf")):
            return True
        return any(
            bool(parts) and all(self.excludes(part, other, depth + 1) for part in parts)
            for parts in (_list(one, "anyOf"), _list(one, "oneOf"))
        )


def _own_types(node: Mapping[str, Any]) -> frozenset[str]:
    if "type" not in node:
        return _ALL
    named = node["type"] if isinstance(node["type"], list) else [node["type"]]
    types = frozenset(name for name in named if isinstance(name, str))
    return types | {"integer"} if "number" in types else types


def _values(node: Mapping[str, Any]) -> list[Any] | None:
    if "const" in node:
        return [node["const"]]
    return node["enum"] if isinstance(node.get("enum"), list) else None


def _property(node: Mapping[str, Any], name: str) -> Any:
    properties = node.get("properties")
    if isinstance(properties, dict) and name in properties:
        return properties[name]
    return node.get("additionalProperties") is not False or _may_match(node.get("patternProperties"), name)


def _may_match(patterns: Any, name: str) -> bool:
    """Whether some reader may take a name for one of these patterns."""
    if not isinstance(patterns, dict):
        return patterns is not None
    if not name.isascii() or not name.isprintable():
        return bool(patterns)
    try:
        return any(re.search(pattern, name) for pattern in patterns)
    except (re.error, TypeError):
        return True


def _list(node: Mapping[str, Any], keyword: str) -> list[Any]:
    value = node.get(keyword, [])
    return value if isinstance(value, list) else []
