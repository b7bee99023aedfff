"""The errors of a route, from the tree in errors.py, and the headers of answers."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec

from ensue.api.bodies import ModelBody
from ensue.api.error_handlers import body_of
from ensue.api.fields import Schema
from ensue.api.openapi.schemas import ref
from ensue.api.protocol import ErrorDetail, ErrorObject
from ensue.api.routes import EVENTS, JSON, RouteSpec
from ensue.errors import ClientError, RequestError, ServerError

HEADERS: dict[str, Schema] = {
    "x-request-id": {"description": "The server's name of this request", "schema": {"type": "string"}},
    "openai-processing-ms": {"description": "Until the answer began", "schema": {"type": "integer", "minimum": 0}},
    "openai-version": {"description": "Of OpenAI's API", "schema": {"type": "string"}},
    "retry-after": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}},
    "x-should-retry": {"description": "Whether to try again", "schema": {"enum": ["true", "false"]}},
    "www-authenticate": {"description": "How to send a key", "schema": {"const": "Bearer"}},
    "allow": {"description": "The methods that the URL answers", "schema": {"type": "string"}},
    "warning": {"description": "Fields that were ignored", "schema": {"type": "string"}},
    **{
        f"x-ratelimit-{what}-{measure}": {"description": text, "schema": schema}
        for measure in ("requests", "tokens")
        for what, text, schema in (
            ("limit", f"The key's {measure} a minute; only where it has that limit", {"type": "integer", "minimum": 1}),
            ("remaining", f"{measure.capitalize()} left of it", {"type": "integer", "minimum": 0}),
            ("reset", "When all of it is free again, as in 6m0s", {"type": "string", "pattern": "^([0-9]+[hms])+$"}),
        )
    },
}
ALWAYS = ("x-request-id", "openai-processing-ms", "openai-version")
LIMITED = tuple(name for name in HEADERS if name.startswith("x-ratelimit-"))
OF_STATUS = {
    401: ("www-authenticate",),
    405: ("allow",),
    429: ("retry-after", "x-should-retry"),
    500: ("x-should-retry",),
    503: ("retry-after",),
    504: ("x-should-retry",),
}
# What is answered before there is a request: by http_protocol, and so on every route.
CONNECTION = {
    400: ("The request is not valid HTTP.", "bad_request"),
    408: ("The body took too long to arrive.", "receive_timeout"),
    431: ("The headers are too large.", "headers_too_large"),
}
EXAMPLES = {
    "InvalidRequest": "temperature must be between 0 and 2.",
    "ContextLengthExceeded": "This model's maximum context length is 1024 tokens, and the prompt has 2048.",
    "UnknownParameter": "Unknown parameter `temprature`. Did you mean `temperature`?",
    "UnsupportedParameter": "This server does not support num_beams: use use_beam_search and best_of.",
    "InvalidGrammar": "The regex has an unclosed group, at column 3.",
    "AuthenticationError": "No API key was given: send Authorization: Bearer YOUR_KEY.",
    "PermissionDenied": "This API key does not have the scope chat.",
    "ModelNotFound": "The model `gpt` does not exist or you do not have access to it.",
    "KeyNotFound": "No API key has this id.",
    "UnknownUrl": "There is nothing at this URL.",
    "MethodNotAllowed": "This URL does not answer this method.",
    "RequestTooLarge": "The body must be at most 4194304 bytes.",
    "UnsupportedMediaType": "The body must be JSON: send Content-Type: application/json.",
    "RateLimited": "Rate limit reached: this API key may send 60 requests a minute.",
    "QuotaExceeded": "The budget of this API key is used up.",
    "GenerationFailed": "The server failed on this request.",
    "Overloaded": "The model is loading.",
    "EngineDead": "The engine worker is being restarted.",
    "RequestTimeout": "The request took longer than this server allows.",
}


def statuses(spec: RouteSpec) -> list[int]:
    """What a route may answer beside 200."""
    found = {400, 403, 431, 500, 503}  # 403: also of a foreign origin where nobody needs a key
    if spec.policy.needs_key:
        found |= {401, 429}
    if spec.body is not None:
        found |= {408, 413, 415}
    if "{" in spec.path or "model" in spec.query or issubclass(spec.body or object, ModelBody):
        found |= {404}
    if EVENTS in spec.answers:
        found |= {504}
    return sorted(found)


def headers_of(status: int, *, is_limited: bool = True, may_warn: bool = False) -> dict[str, Schema]:
    sometimes = (*(LIMITED if is_limited else ()), *(("warning",) if may_warn else ()))
    names = (*ALWAYS, *OF_STATUS.get(status, ()), *sometimes)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def responses() -> dict[str, Schema]:
    """Of every status that is no success; routes refer to them by number."""
    by_status: dict[int, dict[str, ErrorObject]] = {}
    for error in sorted(_classes(), key=lambda error: error.status):
        by_status.setdefault(error.status, {})[error.__name__] = body_of(error(EXAMPLES[error.__name__]))
    for status, (message, code) in CONNECTION.items():
        detail = ErrorDetail(message, ClientError.type, None, code)
        by_status.setdefault(status, {})[code] = ErrorObject(detail)
    return {str(status): _response(status, examples) for status, examples in sorted(by_status.items())}


def _response(status: int, examples: dict[str, ErrorObject]) -> Schema:
    content = {
        "schema": ref(ErrorObject),
        "examples": {name: {"value": msgspec.to_builtins(example)} for name, example in examples.items()},
    }
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers_of(status),
        "content": {JSON: content},
    }


def _classes(base: type[RequestError] = RequestError) -> Iterator[type[Any]]:
    for child in base.__subclasses__():
        if child not in (ClientError, ServerError):
            yield child
        yield from _classes(child)
