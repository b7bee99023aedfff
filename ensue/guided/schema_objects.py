"""Keywords on objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensue.guided.schema_part import (
    COMBINING,
    TYPES,
    Part,
    Path,
    Schema,
    any_of_these,
    both,
    count_of,
    names_of,
    object_of,
    refuse,
    without,
)
from ensue.guided.schema_scalars import pattern_of


def lower_properties(part: Part, value: Any, path: Path) -> None:
    part.out["properties"] = {name: part.child(node, (*path, name)) for name, node in object_of(value, path).items()}


def lower_pattern_properties(part: Part, value: Any, path: Path) -> None:
    lowered = {}
    for pattern, node in object_of(value, path).items():
        lowered[pattern_of(pattern, (*path, pattern))] = part.child(node, (*path, pattern))
    part.out["patternProperties"] = lowered


def lower_additional_properties(part: Part, value: Any, path: Path) -> None:
    part.out["additionalProperties"] = part.child(value, path)


def lower_unevaluated_properties(part: Part, value: Any, path: Path) -> None:
    """The same as additionalProperties where nothing beside it evaluates properties."""
    if value is True or value == {} or "additionalProperties" in part.node:
        return
    if any(keyword in part.node for keyword in COMBINING):
        raise refuse(path, "unevaluatedProperties cannot be enforced beside keywords that combine schemas.")
    part.out["additionalProperties"] = part.child(value, path)


def lower_required(part: Part, value: Any, path: Path) -> None:
    if isinstance(value, bool):
        raise refuse(path, "required must be a list of names, as since draft 4.")
    part.out["required"] = list(dict.fromkeys(names_of(value, path)))


def lower_min_properties(part: Part, value: Any, path: Path) -> None:
    """Names can't be kept from coming twice, so only as many as are required, or one, can be asked for."""
    least = count_of(value, path)
    required = part.node.get("required", [])
    if least <= len(required):
        return
    if least > 1:
        raise refuse(path, "minProperties above 1 can be enforced only up to the number of required properties.")
    names = [name for name, node in part.node.get("properties", {}).items() if node is not False]
    if not names:
        part.out["minProperties"] = least
        return
    if not _is_closed(part.node):
        raise refuse(path, "minProperties needs required properties, or additionalProperties false.")
    branches: list[Schema | bool] = [{"required": [name]} for name in names]
    part.others.append(any_of_these([{"type": [t for t in TYPES if t != "object"]}, *branches]))


def lower_max_properties(part: Part, value: Any, path: Path) -> None:
    most = count_of(value, path)
    properties = part.node.get("properties", {})
    if _is_closed(part.node) and len(properties) <= most:
        return
    if not set(properties) <= set(part.node.get("required", [])):
        raise refuse(path, "maxProperties can be enforced only where every property is required, or where it is idle.")
    part.out["maxProperties"] = most


def _is_closed(node: Mapping[str, Any]) -> bool:
    return node.get("additionalProperties", True) is False and not node.get("patternProperties")


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
    part.others.append(any_of_these([without(name), both({"required": [name]}, consequence)]))


def lower_property_names(part: Part, value: Any, path: Path) -> None:
    """A pattern on names that aren't listed; listed ones must be impossible or fit."""
    match value:
        case True | {} if not value or value is True:
            return
        case {"pattern": str(pattern)} if set(value) <= {"pattern", "type"} and "patternProperties" not in part.node:
            others = part.child(part.node.get("additionalProperties", True), (*part.path, "additionalProperties"))
            rust = pattern_of(pattern, (*path, "pattern"))
            if part.node.get("properties"):
                raise refuse(path, "propertyNames cannot be enforced beside properties.")
            part.others.append({"patternProperties": {rust: others}, "additionalProperties": False})
        case {"type": "string"} if len(value) == 1:
            return
        case _:
            raise refuse(path, "propertyNames can be enforced only with a pattern.")
