"""`propertyNames`: what it says of names, as one pattern."""

from __future__ import annotations

from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.formats import PATTERNS
from ensue.guided.look_ahead import denied_pattern
from ensue.guided.pattern import NOTHING, within
from ensue.guided.regex import avoiding, escape
from ensue.guided.render import as_regex
from ensue.guided.rust_regex import anywhere
from ensue.guided.schema_fits import matches
from ensue.guided.schema_part import Part, Path, count_of, object_of, refuse
from ensue.guided.schema_scalars import pattern_of

_REFUSAL = (
    "propertyNames can be enforced only with one of pattern, enum, const, format, not, lengths, or anyOf of these, or "
    "with a pattern or format beside lengths."
)
_ON_NAMES = ("type", "pattern", "format", "minLength", "maxLength", "enum", "const", "not")
_COMBINING = ("allOf", "anyOf", "oneOf", "if", "$dynamicRef", "$recursiveRef")


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
    names = {name: pattern is not None and _fits(pattern, name) for name in listed}
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
    said = {k: v for k, v in node.items() if k in (*_ON_NAMES, *_COMBINING) and (k, v) != ("type", "string")}
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
        case {"not": {"pattern": pattern, **others}} if len(said) == 1 and others in ({}, {"type": "string"}):
            return f"^{_denied(pattern, (*path, 'not'))}$"
        case {"not": {"enum": list(names), **others}} if len(said) == 1 and others in ({}, {"type": "string"}):
            return f"^{avoiding(name for name in names if isinstance(name, str))}$"
        case _ if said.keys() <= {"minLength", "maxLength", "pattern"}:
            return _counted(said, pattern_of(said.get("pattern", ""), (*path, "pattern")), path)
        case {"format": str(name)} if said.keys() <= {"minLength", "maxLength", "format"}:
            return _counted(said, PATTERNS[name], path)
    raise refuse(path, _REFUSAL)


def _words(names: list[Any], path: Path) -> str:
    words = [name for name in names if isinstance(name, str)]
    if not words:
        raise refuse(path, "propertyNames allows no name.")
    return f"^(?:{'|'.join(map(escape, words))})$"


def _counted(said: dict[str, Any], pattern: str, path: Path) -> str:
    """Of so many characters, and matching a pattern in Rust's syntax."""
    least = count_of(said.get("minLength", 0), (*path, "minLength"))
    most = count_of(said["maxLength"], (*path, "maxLength")) if "maxLength" in said else None
    if not pattern:
        return f"^(?s:.){{{least},{'' if most is None else most}}}$"
    found = within(anywhere(pattern), least, most)
    if found is None or found == NOTHING:
        raise refuse(path, _REFUSAL)
    return f"^{as_regex(found)}$"


def _denied(pattern: Any, path: Path) -> str:
    try:
        return denied_pattern(str(pattern))
    except InvalidGrammar:
        raise refuse(path, "The denial of this pattern cannot be enforced.") from None


def _fits(pattern: str, name: str) -> bool:
    """Whether a name is sure to fit, whoever reads the pattern."""
    try:
        return matches(anywhere(pattern), name)
    except InvalidGrammar:
        return False


def _resolved(part: Part, node: Any, path: Path) -> dict[str, Any]:
    for _ in range(8):
        if not isinstance(node, dict) or "$ref" not in node:
            break
        node = part.lowering.resolve(node["$ref"], path)[0]
    if not isinstance(node, dict):
        raise refuse(path, _REFUSAL)
    return node
