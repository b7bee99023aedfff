"""The OpenAPI description of our routes, made from the same tables that check requests and write answers."""

from __future__ import annotations

from typing import Any

import msgspec

from ensue.api.bodies import BODIES, Body
from ensue.api.fields import Schema, schema_of
from ensue.api.key_bodies import KeyBody, RotateBody
from ensue.api.protocol import (
    AuditList,
    AuditObject,
    ChatChunkObject,
    ChatObject,
    CompletionObject,
    DetokenizeObject,
    ErrorObject,
    KeyList,
    KeyObject,
    KeyWithToken,
    ModelList,
    ModelObject,
    TokenizeObject,
    TokenizerInfo,
    UsageList,
    UsageSum,
)

REF = "#/components/schemas/{name}"
ANSWERS = (
    CompletionObject,
    ChatObject,
    ChatChunkObject,
    ModelObject,
    ModelList,
    TokenizeObject,
    DetokenizeObject,
    TokenizerInfo,
    KeyObject,
    KeyWithToken,
    KeyList,
    AuditObject,
    AuditList,
    UsageSum,
    UsageList,
    ErrorObject,
)


def components() -> dict[str, Schema]:
    """All named schemas."""
    _, schemas = msgspec.json.schema_components(ANSWERS, ref_template=REF)
    return {**schemas, **{body.__name__: _body(body) for body in (*BODIES, KeyBody, RotateBody)}}


def _body(body: type[Body]) -> Schema:
    schema = schema_of(body, body.required)
    schema["properties"] |= {name: {"description": "Accepted without effect"} for name in body.without_effect}
    if body.unserved:
        schema["description"] = f"Known, and refused where they ask for something: {', '.join(body.unserved)}."
    return schema


def operation(body: type[Any] | None, answer: type[Any] | None) -> dict[str, Any]:
    """The part of an operation that FastAPI is told, not asked."""
    described: dict[str, Any] = {"responses": {"default": _content(ErrorObject, "The one shape of all errors")}}
    if answer is not None:
        described["responses"]["200"] = _content(answer, "The answer")
    if body is not None:
        described["requestBody"] = {"required": True, **_content(body, "JSON")}
    return described


def _content(schema: type[Any], description: str) -> dict[str, Any]:
    ref = {"$ref": REF.format(name=schema.__name__)}
    return {"description": description, "content": {"application/json": {"schema": ref}}}
