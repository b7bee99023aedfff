"""The OpenAPI description of our routes, made from the same tables that check requests and write answers."""

from __future__ import annotations

from typing import Any

import msgspec

from ensue.api.fields import Schema, schema_of
from ensue.api.protocol import (
    UNSERVED,
    WITHOUT_EFFECT,
    CompletionBody,
    CompletionObject,
    ErrorObject,
    ModelList,
    ModelObject,
)

REF = "#/components/schemas/{name}"
ANSWERS = (CompletionObject, ModelObject, ModelList, ErrorObject)


def components() -> dict[str, Schema]:
    """All named schemas."""
    _, schemas = msgspec.json.schema_components(ANSWERS, ref_template=REF)
    return {**schemas, CompletionBody.__name__: _completion_body()}


def _completion_body() -> Schema:
    schema = schema_of(CompletionBody, required=("prompt",))
    schema["properties"] |= {name: {"description": "Accepted without effect"} for name in WITHOUT_EFFECT}
    schema["description"] = f"Known, and refused where they ask for something: {', '.join(UNSERVED)}."
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
