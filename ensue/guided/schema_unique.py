"""`uniqueItems`: arrays whose items are drawn from classes that have nothing in common, in the order of the classes.

A grammar can't compare items, so the result is narrower than the keyword: listed values come in the order in which they
are listed, plain strings and numbers in that of their classes, and of anything else there is one item at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from ensue.guided.schema_part import TYPES, Part, Path, Schema, any_of_these, count_of, place, refuse
from ensue.guided.schema_scalars import type_list
from ensue.guided.schema_values import check_value, json_equal, type_of

_MAX_CLASSES = 4
_MAX_ITEMS = 64
_NOT_ARRAYS: Schema = {"type": [name for name in TYPES if name != "array"]}
_INITIALS = ["^[^A-Za-z]", "^[A-Fa-f]", "^[G-Mg-m]", "^[N-Zn-z]"]
_RANGES: list[Schema] = [{"maximum": 9}, *({"minimum": 10**i, "maximum": 10 ** (i + 1) - 1} for i in (1, 2, 3))]


def lower_unique_items(part: Part, value: Any, path: Path) -> None:
    if not isinstance(value, bool):
        raise refuse(path, "uniqueItems must be a boolean.")
    most = count_of(part.node.get("maxItems", _MAX_ITEMS), (*part.path, "maxItems"))
    least = count_of(part.node.get("minItems", 0), (*part.path, "minItems"))
    if not value or most <= 1:
        return
    classes = _classes(part, path, least)
    if least > max(1, len(classes)):
        raise refuse(path, f"uniqueItems can be enforced for arrays of at most {max(1, len(classes))} of these items.")
    part.replaced.add("maxItems")
    if not classes:
        part.replacement["maxItems"] = 1
        return
    part.replaced |= {"items", "minItems"}
    part.others.append(any_of_these([_NOT_ARRAYS, *_arrays(classes, least, min(most, len(classes)))]))


def _arrays(classes: list[Schema], least: int, most: int) -> Iterator[Schema]:
    """Arrays of at least `least` and at most `most` items, each of another class, in their order.

    An array may end early, so that only those are needed that can't go on.
    """
    for size in range(max(1, least), most + 1):
        for chosen in combinations(classes, size):
            if size == most or chosen[-1] is classes[-1]:
                yield {"type": ["array"], "prefixItems": list(chosen), "minItems": least, "maxItems": size}


def _classes(part: Part, path: Path, least: int) -> list[Schema]:
    """Schemas of items without a value in common; none where the items can't be told apart."""
    if any(keyword in part.node for keyword in ("prefixItems", "contains")):
        return []
    node = _named(part, part.node.get("items", True), path)
    if not isinstance(node, dict) or (part.lowering.is_frugal and least <= 1):
        return []
    said = part.lowering.keywords & node.keys()
    if said <= {"type", "enum"} and (values := _values(node, path)) is not None:
        return [{"enum": some} for some in _slices(values, max(_MAX_CLASSES, min(least, _MAX_ITEMS)))]
    if node.get("type") == "string" and said <= {"type", "minLength", "maxLength"} and node.get("maxLength") != 0:
        lengths = {keyword: count_of(node[keyword], path) for keyword in ("minLength", "maxLength") if keyword in node}
        return [{"type": ["string"], "pattern": pattern, **lengths} for pattern in _INITIALS]
    if node.get("type") == "integer" and said == {"type"}:
        return [{"type": ["integer"], **bounds} for bounds in _RANGES]
    return []


def _named(part: Part, node: Any, path: Path) -> Any:
    """What a schema that is nothing but a reference points to."""
    for _ in range(_MAX_ITEMS):
        if not isinstance(node, dict) or "$ref" not in node or part.lowering.keywords & node.keys() != {"$ref"}:
            return node
        node = part.lowering.resolve(node["$ref"], path)[0]
    return True


def _values(node: dict[str, Any], path: Path) -> list[Any] | None:
    """The values of an enum that its type allows, each once; check_value refuses what can't be written."""
    if "enum" not in node and node.get("type") != "boolean":
        return None
    values = node.get("enum", [False, True])
    types = type_list(node["type"], path) if "type" in node else list(TYPES)
    different: list[Any] = []
    for value in values if isinstance(values, list) else []:
        fits = type_of(value) in types or (type_of(value) == "integer" and "number" in types)
        if fits and not any(json_equal(value, other) for other in different):
            different.append(check_value(value, place(path)))
    return different or None


def _slices(values: list[Any], most: int) -> Iterator[list[Any]]:
    """At most that many neighbouring parts, of about the same length."""
    count = min(most, len(values))
    for i in range(count):
        yield values[i * len(values) // count : (i + 1) * len(values) // count]
