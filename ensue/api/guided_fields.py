"""The fields of guided decoding that are objects, and the names of backends: as guided.py reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ensue.api.fields import Boolean, Kind, ListOf, Schema, Text, object_schema
from ensue.api.kinds import JSON_SCHEMA, ObjectKind
from ensue.guided.constraint import BackendName

BACKENDS: dict[str, BackendName] = {
    "auto": "llguidance",
    "llguidance": "llguidance",
    "guidance": "llguidance",
    "xgrammar": "xgrammar",
    "outlines": "outlines",
}
NO_FALLBACK = "no-fallback"  # there is never one
NO_WHITESPACE = "disable-any-whitespace"
SUFFIXES = (NO_FALLBACK, NO_WHITESPACE)
_SUFFIX = f"({'|'.join(SUFFIXES)})"
BACKEND = Text(pattern=f"^({'|'.join(BACKENDS)})(:({_SUFFIX}(,{_SUFFIX})*)?)?$")
CHOICE = ListOf(Text())

NAMED_SCHEMA: Mapping[str, Kind] = {"name": Text(), "description": Text(), "strict": Boolean(), "schema": JSON_SCHEMA}
SCHEMA_WITH_NAME = object_schema(
    {name: kind.schema for name, kind in NAMED_SCHEMA.items()}, ["schema"], has_null_others=True
)
FORMATS: Mapping[str, Mapping[str, Schema]] = {  # by type, what stands beside it
    "text": {},
    "json_object": {"schema": JSON_SCHEMA.schema},
    "json_schema": {"json_schema": SCHEMA_WITH_NAME},
}
NEEDED: Mapping[str, Sequence[str]] = {"text": (), "json_object": (), "json_schema": ("json_schema",)}
STRUCTURED: Mapping[str, Kind] = {
    "json": JSON_SCHEMA,
    "regex": Text(),
    "choice": CHOICE,
    "grammar": Text(),
    "json_object": Boolean(),
    "whitespace_pattern": Text(),
    "disable_any_whitespace": Boolean(),
    "disable_fallback": Boolean(),  # there is never one
}
# Options of vLLM's that are not served; what asks for nothing is no error.
UNSERVED_OPTIONS: Mapping[str, str] = {
    "disable_additional_properties": "set additionalProperties to false in the schema",
    "structural_tag": "use tools, or a grammar",
}
RESPONSE_FORMAT = ObjectKind(
    {
        "anyOf": [
            object_schema({"type": {"const": kind}, **more}, ["type", *NEEDED[kind]], has_null_others=True)
            for kind, more in FORMATS.items()
        ]
    }
)
STRUCTURED_OUTPUTS = ObjectKind(
    object_schema(
        {name: kind.schema for name, kind in STRUCTURED.items()}
        | {"choice": CHOICE.schema | {"minItems": 1}}
        | {name: {"const": False} for name in UNSERVED_OPTIONS},
        has_null_others=True,
    )
)
