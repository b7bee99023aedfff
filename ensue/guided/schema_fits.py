"""Whether a value of an enum fits the keywords beside it."""

from __future__ import annotations

import re
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.pattern import Pattern
from ensue.guided.render import as_regex
from ensue.guided.rust_regex import anywhere
from ensue.guided.schema_part import Schema
from ensue.guided.schema_values import is_number, type_of

_ON_LISTS = ("items", "prefixItems", "minItems", "maxItems")
_ON_OBJECTS = ("properties", "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties")


def fits(value: Any, schema: Schema) -> bool:
    """
    Args:
        schema: without combining keywords.

    Raises:
        InvalidGrammar: the value is a list or an object, and so is what the schema speaks of.
    """
    for kind, keywords in ((list, _ON_LISTS), (dict, _ON_OBJECTS)):
        beside = [keyword for keyword in keywords if keyword in schema]
        if isinstance(value, kind) and beside:
            raise InvalidGrammar(f"{beside[0]} cannot be enforced beside lists and objects in enum by this backend.")
    return _fits_type(value, schema) and _fits_number(value, schema) and _fits_text(value, schema)


def matches(pattern: Pattern, text: str) -> bool:
    return re.fullmatch(as_regex(pattern), text) is not None


def _fits_type(value: Any, schema: Schema) -> bool:
    kind = type_of(value)
    return "type" not in schema or kind in schema["type"] or (kind == "integer" and "number" in schema["type"])


def _fits_number(value: Any, schema: Schema) -> bool:
    if not is_number(value):
        return True
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or schema["exclusiveMinimum"] < value)
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and ("multipleOf" not in schema or value % schema["multipleOf"] == 0)
    )


def _fits_text(value: Any, schema: Schema) -> bool:
    if not isinstance(value, str):
        return True
    has_length = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return has_length and all(matches(anywhere(pattern), value) for pattern in schema.get("pattern", ()))
