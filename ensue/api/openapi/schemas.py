"""Named schemas: bodies from their fields, bounds and names, the objects of answers from their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from ensue.api.bodies import BODIES, Body, TokenizeBody
from ensue.api.bounds import Bound, bounds
from ensue.api.fields import Schema, or_null
from ensue.api.key_bodies import BOUNDS, LIFTED, KeyBody, RotateBody
from ensue.api.names import Policy
from ensue.config import LimitsConfig

REF = "#/components/schemas/{name}"


def ref(described: type[Any]) -> Schema:
    return {"$ref": REF.format(name=described.__name__)}


# ---- bodies


def body_schemas(limits: LimitsConfig, unknown: Policy) -> dict[str, Schema]:
    """By name; unknown fields are as welcome as the server says, but never in bodies about keys."""
    own = {body.__name__: _body(body, _bounds(body, limits), unknown) for body in BODIES}
    keys = {body.__name__: _body(body, BOUNDS, "refuse") for body in (KeyBody, RotateBody)}
    return own | keys | {"KeyChanges": _changes(keys["KeyBody"])}


def _bounds(body: type[Body], limits: LimitsConfig) -> Mapping[str, Bound]:
    own = {"prompt": Bound(chars=(0, limits.max_tokenize_chars))} if body is TokenizeBody else {}
    return {**bounds(limits), **own}


def _body(body: type[Body], bounded: Mapping[str, Bound], unknown: Policy) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {
            **{f.name: _property(f, bounded.get(f.name, Bound()), body.required) for f in fields(body)},
            **{name: {"description": "Accepted without effect"} for name in body.without_effect},
            **{name: _unserved(body.instead.get(name), neutral) for name, neutral in body.unserved.items()},
        },
        "required": list(body.required),
        "additionalProperties": unknown == "warn",
    }
    return schema | ({"oneOf": [_has(name, body) for name in body.one_of]} if body.one_of else {})


def _property(f: Field[Any], bound: Bound, required: Collection[str]) -> Schema:
    schema = bound.narrowed(f.metadata["kind"].schema)
    default = next((value for value in (f.default, *f.metadata["neutral"]) if value is not None), None)
    has_default = isinstance(default, str | int | float)
    schema = schema if f.name in required else or_null(schema)
    return {"description": f.metadata["help"], **schema, **({"default": default} if has_default else {})}


def _unserved(instead: str | None, neutral: Iterable[Any]) -> Schema:
    """A field that is refused where it asks for something."""
    return {"description": "Not served" + (f": {instead}" if instead else ""), "enum": [None, *neutral]}


def _has(name: str, body: type[Body]) -> Schema:
    """A body with this one of the fields that exclude each other."""
    others = [other for other in body.one_of if other != name]
    properties = {name: {"not": {"type": "null"}}, **{other: {"type": "null"} for other in others}}
    return {"title": name, "required": [name], "properties": properties}


def _changes(key: Schema) -> Schema:
    """Of a key that is there, null lifts a limit; what every key has can't be lifted."""
    properties = {
        name: schema if name in LIFTED else schema | {"type": schema["type"][0]}
        for name, schema in key["properties"].items()
    }
    return key | {"properties": properties, "description": "The fields to change; null lifts a limit"}


# ---- answers


def answer_schemas(answers: Collection[type[Any]]) -> dict[str, Schema]:
    """Of these and all that they are made of, by name."""
    _, schemas = msgspec.json.schema_components(answers, ref_template=REF)
    for part in _parts(msgspec.inspect.multi_type_info(answers)):
        _describe(schemas[part.__name__], get_type_hints(part, include_extras=True))
    return schemas


def _parts(node: Any) -> Iterable[type[Any]]:
    """The classes that a type is made of."""
    match node:
        case list() | tuple():
            for item in node:
                yield from _parts(item)
        case msgspec.inspect.StructType(cls=cls) | msgspec.inspect.DataclassType(cls=cls):
            yield cls
            yield from _parts([f.type for f in node.fields])
        case msgspec.inspect.Type():
            yield from _parts([getattr(node, name) for name in node.__struct_fields__])


def _describe(schema: Schema, hints: Mapping[str, Any]) -> None:
    """Fields have defaults for whoever makes them, but answers have all that may not be unset."""
    for name, described in schema["properties"].items():
        described.pop("default", None)
        if texts := [extra for extra in getattr(hints[name], "__metadata__", ()) if isinstance(extra, str)]:
            described["description"] = texts[-1]
    schema["required"] = [name for name in schema["properties"] if not _may_be_unset(hints[name])]


def _may_be_unset(hint: Any) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return msgspec.UnsetType in get_args(bare)
