"""The whole description: one operation a route."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ensue import __version__
from ensue.api.bodies import ModelBody
from ensue.api.fields import Schema
from ensue.api.key_bodies import KeyBody
from ensue.api.openapi.errors import HEADERS, headers_of, responses, statuses
from ensue.api.openapi.examples import ANSWERS, REQUESTS
from ensue.api.openapi.schemas import answer_schemas, body_schemas, ref
from ensue.api.protocol import ErrorObject
from ensue.api.query import Parameters
from ensue.api.routes import EVENTS, JSON, RouteSpec
from ensue.config import Config

ABOUT = (
    "Completions and chats as OpenAI's API has them, with vLLM's extensions. An explicit null is the default of every "
    "field. Every error has one shape, on every path and status. Whoever sends a bad request is told which field is "
    "wrong, before an answer begins."
)
KEY = "An API key, or a token of the issuer that the server trusts"
EVENT_IS = (
    "One event for each piece of news: `data: `, compact JSON and two line feeds. The last one is `data: [DONE]`. What "
    "fails after the first byte is an event with an error. Described is each event, as OpenAPI's itemSchema would."
)
PLAIN_ANSWERS: Mapping[type[Any], Schema] = {str: {"type": "string"}, dict: {"type": "object"}}
IN_PATHS = {"model": "A served name or alias; it may have slashes", "key_id": "Id of an API key", "file": "Its name"}


def document(routes: Sequence[RouteSpec], config: Config, *, has_keys: bool) -> Schema:
    """
    Args:
        has_keys: whether anybody needs one.
    """
    paths: dict[str, Schema] = {}
    for spec in routes:
        paths.setdefault(_plain_path(spec.path), {})[spec.method.lower()] = _operation(spec, has_keys=has_keys)
    bodies = body_schemas(config.limits, config.server.unknown_parameters)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ensue", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": answer_schemas(_answers(routes)) | bodies,
            "responses": responses(),
            "headers": HEADERS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": KEY}} if has_keys else {},
        },
    }


def _operation(spec: RouteSpec, *, has_keys: bool) -> Schema:
    needs_key = has_keys and spec.policy.needs_key
    scopes = [] if spec.policy.scope is None else [spec.policy.scope]
    described: Schema = {
        "operationId": spec.name,
        "tags": [_tag(spec.path)],
        "summary": (inspect.getdoc(spec.endpoint) or "").rstrip("."),
        "parameters": [*_path_parameters(spec.path), *_query_parameters(spec.query)],
        "responses": {"200": _success(spec), **_failures(spec)},
        "security": [{"bearer": scopes}] if needs_key else [],
    }
    if spec.body is not None:
        described["requestBody"] = _request(spec)
    return described


def _tag(path: str) -> str:
    if path.startswith(("/v1/", "/admin/")):
        return path.split("/")[1 if path.startswith("/admin/") else 2]
    return "tokens" if "token" in path else "server"


def _plain_path(path: str) -> str:
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def _path_parameters(path: str) -> Iterable[Schema]:
    for name in re.findall(r"\{(\w+)", path):
        text = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "description": IN_PATHS[name], "schema": text}


def _query_parameters(query: Parameters) -> Iterable[Schema]:
    for name, parameter in query.items():
        default = {} if parameter.default is None else {"default": parameter.default}
        schema = parameter.kind.schema | default
        yield {"name": name, "in": "query", "description": parameter.help, "schema": schema}


def _request(spec: RouteSpec) -> Schema:
    assert spec.body is not None
    is_change = spec.body is KeyBody and spec.method == "PATCH"
    schema = {"$ref": "#/components/schemas/KeyChanges"} if is_change else ref(spec.body)
    return {"required": True, "content": {JSON: {"schema": schema, **_examples(REQUESTS, spec.name)}}}


def _success(spec: RouteSpec) -> Schema:
    content = {media_type: _content(spec, media_type, answer) for media_type, answer in spec.answers.items()}
    may_warn = issubclass(spec.body or object, ModelBody)
    headers = headers_of(200, is_limited=spec.policy.is_limited, may_warn=may_warn)
    return {"description": "The answer", "headers": headers, "content": content}


def _content(spec: RouteSpec, media_type: str, answer: type[Any]) -> Schema:
    if media_type == EVENTS:
        return {"schema": _event(answer), **_examples(ANSWERS, f"{spec.name}.events")}
    schema = PLAIN_ANSWERS.get(answer) or ref(answer)
    return {"schema": schema, **(_examples(ANSWERS, spec.name) if media_type == JSON else {})}


def _event(answer: type[Any]) -> Schema:
    news = {"contentMediaType": JSON, "contentSchema": {"anyOf": [ref(answer), ref(ErrorObject)]}}
    data = {"type": "string", "anyOf": [{"const": "[DONE]"}, news]}
    return {"type": "object", "description": EVENT_IS, "properties": {"data": data}, "required": ["data"]}


def _failures(spec: RouteSpec) -> dict[str, Schema]:
    shared = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses(spec)}
    if spec.not_ready is None:
        return shared
    content = {JSON: {"schema": ref(spec.not_ready)}}
    headers = headers_of(503, is_limited=False)
    return shared | {"503": {"description": "Not ready", "headers": headers, "content": content}}


def _examples(examples: Mapping[str, Mapping[str, Any]], name: str) -> Schema:
    found = examples.get(name)
    return {"examples": {title: {"value": value} for title, value in found.items()}} if found else {}


def _answers(routes: Iterable[RouteSpec]) -> list[type[Any]]:
    """Each once, in the order of the routes."""
    found = [answer for spec in routes for answer in (*spec.answers.values(), spec.not_ready or ErrorObject)]
    return [answer for answer in dict.fromkeys(found) if answer not in PLAIN_ANSWERS]
