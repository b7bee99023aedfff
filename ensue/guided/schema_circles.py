"""A lowered schema in which references that lead in circles stand alone, for a library that can't combine such ones."""

from __future__ import annotations

from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import compact_json
from ensue.guided.lowered import with_inner
from ensue.guided.schema_part import Schema

_MAX_NODES = 20_000
_PREFIX = "#/$defs/"


def without_circles(schema: Schema) -> Schema:
    """The same, but what a value must satisfy beside such a reference is said together with what it refers to.

    Raises:
        InvalidGrammar: that takes too much, or a reference leads back to itself at the same value.
    """
    return _Spreading(schema.get("$defs", {})).run({k: v for k, v in schema.items() if k != "$defs"})


def _is_plain(node: Schema | bool) -> bool:
    """Whether it is a reference alone, or has none and no alternatives."""
    return isinstance(node, bool) or node.keys() == {"$ref"} or not node.keys() & {"$ref", "allOf", "anyOf"}


class _Spreading:
    def __init__(self, definitions: dict[str, Schema | bool]) -> None:
        self._old = definitions
        self._new: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # of what is said together, by its spelling
        self._nodes_left = _MAX_NODES

    def run(self, root: Schema) -> Schema:
        out = self._together(root, frozenset())
        for name, node in self._old.items():
            self._new[name] = self._together(node, frozenset({name}))
        return {**out, "$defs": self._new}

    def _value(self, node: Any) -> Any:
        """What is said of a value of its own: a reference alone, or none."""
        if isinstance(node, bool) or node.keys() == {"$ref"}:
            return node
        if node.keys() == {"anyOf"} and all(map(_is_plain, node["anyOf"])):
            return {"anyOf": [self._value(branch) for branch in node["anyOf"]]}
        if not node.keys() & {"$ref", "allOf", "anyOf"}:
            return with_inner(node, self._value)
        key = compact_json(node)
        if key not in self._names:
            self._names[key] = name = f"{len(self._names)}+"
            self._new[name] = self._together(node, frozenset())
        return {"$ref": _PREFIX + self._names[key]}

    def _together(self, node: Any, seen: frozenset[str]) -> Any:
        """All that is said of one value, without references.

        Args:
            seen: definitions on the way here.
        """
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise InvalidGrammar("The schema has too many references beside other keywords.")
        if isinstance(node, bool):
            return node
        out = with_inner({k: v for k, v in node.items() if k not in ("$ref", "allOf", "anyOf")}, self._value)
        parts = [self._together(part, seen) for part in node.get("allOf", ())]
        if "$ref" in node:
            name = node["$ref"].removeprefix(_PREFIX)
            if name in seen:
                raise InvalidGrammar("A $ref leads back to itself at the same value.")
            parts.append(self._together(self._old[name], seen | {name}))
        if parts:
            out["allOf"] = parts
        if "anyOf" in node:
            is_alone = not out and not seen and all(map(_is_plain, node["anyOf"]))
            out["anyOf"] = [self._value(b) if is_alone else self._together(b, seen) for b in node["anyOf"]]
        return out
