"""`propertyNames`: what it says of names, as one pattern."""

from __future__ import annotations

import re
from typing import Any

from ensue.guided.formats import PATTERNS
from ensue.guided.regex import escape
from ensue.guided.schema_part import Part, Path, count_of, object_of, refuse
from ensue.guided.schema_scalars import pattern_of

_REFUSAL = "propertyNames can be enforced only with one of pattern, enum, const, format, lengths, or anyOf of these."


def lower_property_names(part: Part, value: Any, path: Path) -> None:
    """Names that aren't listed match a pattern; listed ones are left out where they aren't sure to fit."""
    if value is True or value == {}:
        return
    if "patternProperties" in part.node:
        raise refuse(path, "propertyNames cannot be enforced beside patternProperties.")
    pattern = None if value is False else _pattern(part, value, path)
    if pattern is None and value is not False:
        return
    if "unevaluatedProperties" not in part.node:  # what is said of other properties is said with their names
        part.replaced.add("additionalProperties")
    listed = object_of(part.node.get("properties", {}), (*part.path, "properties"))
    names = {name: value is not False and _fits(part, value, name, path) for name in listed}
    others = part.child(part.node.get("additionalProperties", True), (*part.path, "additionalProperties"))
    if value is False or others is False:
        part.others.append({"properties": names, "additionalProperties": False})
    elif pattern is not None:
        pattern_properties = {pattern: others}
        part.others.append(
            {"properties": names, "patternProperties": pattern_properties, "additionalProperties": False}
        )


def _pattern(part: Part, node: Any, path: Path) -> str | None:
    """In Rust's syntax; None where every name fits."""
    node = _resolved(part, node, path)
    said = {k: v for k, v in node.items() if k in part.lowering.keywords and (k, v) != ("type", "string")}
    if "format" in said and said["format"] not in PATTERNS:
        said.pop("format")
    match said:
        case {} if not said:
            return None
        case {"pattern": pattern} if len(said) == 1:
            return pattern_of(pattern, (*path, "pattern"))
        case {"format": str(name)} if len(said) == 1:
            return PATTERNS[name]
        case {"enum": list(names)} if len(said) == 1:
            return _words(names, path)
        case {"const": name} if len(said) == 1:
            return _words([name], path)
        case {"anyOf": list(nodes)} if len(said) == 1 and nodes:
            patterns = [_pattern(part, inner, (*path, "anyOf", i)) for i, inner in enumerate(nodes)]
            return None if None in patterns else "|".join(f"(?:{pattern})" for pattern in patterns)
        case _ if said.keys() <= {"minLength", "maxLength"}:
            least = count_of(said.get("minLength", 0), (*path, "minLength"))
            most = count_of(said["maxLength"], (*path, "maxLength")) if "maxLength" in said else ""
            return f"^(?s:.){{{least},{most}}}$"
    raise refuse(path, _REFUSAL)


def _words(names: list[Any], path: Path) -> str:
    words = [name for name in names if isinstance(name, str)]
    if not words:
        raise refuse(path, "propertyNames allows no name.")
    return f"^(?:{'|'.join(map(escape, words))})$"


def _fits(part: Part, node: Any, name: str, path: Path) -> bool:
    """Whether a name is sure to fit, whoever reads the pattern."""
    node = _resolved(part, node, path)
    if not name.isascii() or "format" in node:
        return False
    if "anyOf" in node:
        return any(_fits(part, inner, name, path) for inner in node["anyOf"])
    if not node.get("minLength", 0) <= len(name) <= node.get("maxLength", len(name)):
        return False
    words = [node["const"]] if "const" in node else node.get("enum", [name])
    try:
        return name in words and re.search(node.get("pattern", ""), name) is not None
    except re.error:
        return False


def _resolved(part: Part, node: Any, path: Path) -> dict[str, Any]:
    for _ in range(8):
        if not isinstance(node, dict) or "$ref" not in node:
            break
        node = part.lowering.resolve(node["$ref"], path)[0]
    if not isinstance(node, dict):
        raise refuse(path, _REFUSAL)
    return node
