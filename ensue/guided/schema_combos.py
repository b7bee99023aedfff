"""Keywords that combine schemas: references, allOf, anyOf, oneOf, not, if."""

from __future__ import annotations

from typing import Any

from ensue.guided.one_of import first_overlap
from ensue.guided.schema_part import TYPES, Part, Path, Schema, any_of_these, both, lacking, refuse, schemas_of
from ensue.guided.schema_scalars import type_list
from ensue.guided.schema_values import json_equal


def lower_ref(part: Part, value: Any, path: Path) -> None:
    part.out["$ref"] = f"#/$defs/{part.lowering.reference(value, path)}"


def lower_all_of(part: Part, value: Any, path: Path) -> None:
    part.others.extend(schemas_of(part, value, path))


def lower_any_of(part: Part, value: Any, path: Path) -> None:
    part.others.append(any_of_these(schemas_of(part, value, path)))


def lower_one_of(part: Part, value: Any, path: Path) -> None:
    """Equal to anyOf where no two branches have a value in common, which must be certain."""
    branches = schemas_of(part, value, path)
    overlap = first_overlap(value, part.node, lambda reference: part.lowering.resolve(reference, path)[0])
    if overlap is not None:
        first, second = overlap
        raise refuse(
            path,
            f"oneOf can be enforced only where no value fits two branches; branches {first} and {second} are not told "
            "apart by type, by a const or enum, or by a required property. Use anyOf where that is meant.",
        )
    part.others.append(any_of_these(branches))


def lower_not(part: Part, value: Any, path: Path) -> None:
    """Types and single properties can be forbidden; the rest can't."""
    match value:
        case False:
            return
        case True | {} if not value or value is True:
            part.others.append(False)
        case {"type": str() | list() as types} if len(value) == 1:
            part.others.append({"type": _complement(type_list(types, path))})
        case {"required": [str(name)]} if len(value) == 1:
            part.others.append(lacking(name))
        case {"anyOf": [*nodes]} if len(value) == 1:
            for i, node in enumerate(nodes):
                lower_not(part, node, (*path, "anyOf", i))
        case _:
            raise refuse(path, "not can be enforced only on a type or on one required property.")


def _complement(types: list[str]) -> list[str]:
    left = [name for name in TYPES if name not in types and not (name == "integer" and "number" in types)]
    if "integer" in types and "number" in left:
        left.remove("number")  # numbers that are no integers can't be said: they are left out
    return left


def lower_if(part: Part, value: Any, path: Path) -> None:
    """Without then and else it says nothing; else the condition must be one that can be denied."""
    then, otherwise = part.node.get("then", True), part.node.get("else", True)
    if then in (True, {}) and otherwise in (True, {}):
        return
    denied = _denied(part, value, path)
    then_too = part.child(then, (*part.path, "then"))
    else_too = part.child(otherwise, (*part.path, "else"))
    part.others.append(
        any_of_these([both(part.child(value, path), then_too), *[both(branch, else_too) for branch in denied]])
    )


def _denied(part: Part, condition: Any, path: Path) -> list[Schema | bool]:
    """What holds where the condition does not."""
    match condition:
        case bool():
            return [not condition]
        case {"required": [str(name)]} if set(condition) <= {"required"}:
            return [lacking(name)]
        case {"properties": dict(properties)} if len(properties) == 1 and set(condition) <= {"properties", "required"}:
            [(name, node)] = properties.items()
            known = _known_values(part, name)
            chosen = _values_of(node)
            if known is not None and chosen is not None and condition.get("required", [name]) == [name]:
                others = [v for v in known if not any(json_equal(v, c) for c in chosen)]
                branches: list[Schema | bool] = [{"properties": {name: {"enum": others}}, "required": [name]}]
                return branches + [lacking(name)] * ("required" in condition)
    raise refuse(
        path,
        "if can be enforced only with a condition that is one required property, or the const or enum of one property "
        "whose own enum stands beside it.",
    )


def _known_values(part: Part, name: str) -> list[Any] | None:
    properties = part.node.get("properties")
    is_object = part.node.get("type") == "object"
    return _values_of(properties.get(name)) if is_object and isinstance(properties, dict) else None


def _values_of(node: Any) -> list[Any] | None:
    match node:
        case {"const": value}:
            return [value]
        case {"enum": [*values]}:
            return values
    return None
