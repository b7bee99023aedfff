"""Keywords on objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from ensue.guided.constraint import compact_json
from ensue.guided.schema_part import (
    Part,
    Path,
    Schema,
    any_of_these,
    both,
    names_of,
    object_of,
    refuse,
    without,
)
from ensue.guided.schema_scalars import name_pattern_of


def lower_properties(part: Part, value: Any, path: Path) -> None:
    part.out["properties"] = {name: part.child(node, (*path, name)) for name, node in object_of(value, path).items()}


def lower_pattern_properties(part: Part, value: Any, path: Path) -> None:
    """Patterns with the same schema become one: those of an object must have no name in common."""
    by_schema: dict[str, tuple[Schema | bool, list[str]]] = {}
    for pattern, node in object_of(value, path).items():
        regex, lowered = _names_and_schema(part, pattern, node, (*path, pattern))
        by_schema.setdefault(compact_json(lowered), (lowered, []))[1].append(regex)
    if part.lowering.is_joining and len(by_schema) > 1:
        everything = reduce(both, (lowered for lowered, _ in by_schema.values()))
        by_schema = {"": (everything, [pattern for _, patterns in by_schema.values() for pattern in patterns])}
    part.out["patternProperties"] = {_any_pattern(patterns): lowered for lowered, patterns in by_schema.values()}


def _names_and_schema(part: Part, pattern: str, node: Any, path: Path) -> tuple[str, Schema | bool]:
    """Readers disagree on some names: those must fit the schema, and what is said of other names, too."""
    lowered = part.child(node, path)
    others = part.node.get("additionalProperties", part.node.get("unevaluatedProperties", True))
    if others is False:
        _keep_listed(part, lowered)
        return name_pattern_of(pattern, path, is_wide=False), lowered
    wide = name_pattern_of(pattern, path, is_wide=True)
    if others is True or others == {} or wide == name_pattern_of(pattern, path, is_wide=False):
        return wide, lowered
    return wide, both(lowered, part.child(others, (*part.path, "additionalProperties")))


def _keep_listed(part: Part, lowered: Schema | bool) -> None:
    """Of listed names that readers may disagree on, what a pattern says holds as well."""
    names = object_of(part.node.get("properties", {}), (*part.path, "properties"))
    odd = [name for name in names if not (name.isascii() and name.isprintable())]
    if odd:
        part.others.append({"properties": dict.fromkeys(odd, lowered)})


def _any_pattern(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


def lower_additional_properties(part: Part, value: Any, path: Path) -> None:
    part.out["additionalProperties"] = part.child(value, path)


def lower_unevaluated_properties(part: Part, value: Any, path: Path) -> None:
    """The same as additionalProperties, but for what `allOf` and references list, too.

    What only some branches of `anyOf` and their like list counts as not evaluated, which is narrower.
    """
    seen = _Evaluated.by(part, path)
    if value is True or value == {} or seen.has_all:
        return
    others = part.child(value, path)
    if len(seen.nodes) == 1:
        part.out["additionalProperties"] = others
        return
    patterns = {name_pattern_of(pattern, path, is_wide=False): True for pattern in seen.patterns}
    names: dict[str, bool] = dict.fromkeys(seen.names, True)
    part.others.append({"properties": names, "patternProperties": patterns, "additionalProperties": others})


@dataclass
class _Evaluated:
    """The properties that a schema evaluates whatever the object is."""

    names: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    has_all: bool = False
    nodes: list[Any] = field(default_factory=list)  # looked at

    @classmethod
    def by(cls, part: Part, path: Path) -> _Evaluated:
        seen = cls()
        seen._add(part, part.node, path)
        return seen

    def _add(self, part: Part, node: Any, path: Path) -> None:
        if not isinstance(node, dict) or any(node is other for other in self.nodes):
            return
        is_inner = bool(self.nodes)
        self.nodes.append(node)
        self.names += object_of(node.get("properties", {}), (*path, "properties"))
        self.patterns += object_of(node.get("patternProperties", {}), (*path, "patternProperties"))
        self.has_all |= "additionalProperties" in node or (is_inner and "unevaluatedProperties" in node)
        inner = node.get("allOf", [])
        targets = [part.lowering.resolve(node["$ref"], path)[0]] if "$ref" in node else []
        for other in [*(inner if isinstance(inner, list) else []), *targets]:
            self._add(part, other, path)


def lower_required(part: Part, value: Any, path: Path) -> None:
    if isinstance(value, bool):
        raise refuse(path, "required must be a list of names, as since draft 4.")
    part.out["required"] = list(dict.fromkeys(names_of(value, path)))


def lower_dependent_required(part: Part, value: Any, path: Path) -> None:
    for name, names in object_of(value, path).items():
        _depend(part, name, {"required": names_of(names, (*path, name))})


def lower_dependent_schemas(part: Part, value: Any, path: Path) -> None:
    for name, node in object_of(value, path).items():
        _depend(part, name, part.child(node, (*path, name)))


def lower_dependencies(part: Part, value: Any, path: Path) -> None:
    for name, item in object_of(value, path).items():
        _depend(part, name, {"required": item} if isinstance(item, list) else part.child(item, (*path, name)))


def _depend(part: Part, name: str, consequence: Schema | bool) -> None:
    """Without the property, or with all that it asks for; of frugal schemas without it, where it isn't required."""
    there = both({"required": [name]}, consequence)
    is_required = isinstance(required := part.node.get("required"), list) and name in required
    if part.lowering.is_frugal:
        part.others.append(there if is_required else without(name))
    else:
        part.others.append(any_of_these([there] if is_required else [without(name), there]))
