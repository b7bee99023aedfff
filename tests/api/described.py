"""What the description says of an answer, held against a real one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
from fastapi import FastAPI
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from starlette.responses import Response

from ensue.api.keep_alive import COMMENT

Json = dict[str, Any]
OPEN_ENDED = ("TokenizerInfo",)  # has what the model has
ALWAYS = ("x-request-id", "openai-processing-ms", "openai-version")


class Description:
    """An /openapi.json."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._components = {**document["components"], "schemas": _closed(document["components"]["schemas"])}
        self._validators: dict[str, Draft202012Validator] = {}

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Method, path and description of each."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def find(self, method: str, path: str) -> Json | None:
        """The operation that answers a request."""
        found = self.document["paths"].get(path)
        for pattern, methods in self.document["paths"].items():
            if found is None and re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)), path):
                found = methods
        return None if found is None else found.get(method.lower())

    def check(self, response: httpx2.Response) -> None:
        """An answer of a described operation is as described: status, media type, headers, body."""
        operation = self.find(response.request.method, response.request.url.path)
        if operation is None:
            return
        assert str(response.status_code) in operation["responses"], response.status_code
        described = self._resolved(operation["responses"][str(response.status_code)])
        self._check_headers(described["headers"], response)
        media_type = response.headers["content-type"].partition(";")[0]
        schema = described["content"][media_type]["schema"]
        if media_type == "text/event-stream":
            self.check_stream(schema, response.text)
        else:
            self.check_value(schema, response.json() if media_type == "application/json" else response.text)

    def check_value(self, schema: Json, value: Any) -> None:
        self.validator(schema).validate(value)

    def check_stream(self, schema: Json, text: str) -> None:
        """Each event, and the JSON in it."""
        *events, rest = text.replace(COMMENT.decode(), "").split("\n\n")
        assert (events[-1], rest) == ("data: [DONE]", "")
        _, news = schema["properties"]["data"]["anyOf"]
        for event in events[:-1]:
            self.check_value(news["contentSchema"], json.loads(event.removeprefix("data: ")))

    def validator(self, schema: Json) -> Draft202012Validator:
        name = json.dumps(schema)
        if name not in self._validators:
            self._validators[name] = Draft202012Validator({**schema, "components": self._components})
        return self._validators[name]

    def _resolved(self, described: Json) -> Json:
        if "$ref" not in described:
            return described
        _, _, part, name = described["$ref"].split("/")
        found: Json = self.document["components"][part][name]
        return found

    def _check_headers(self, headers: Json, response: httpx2.Response) -> None:
        assert headers.keys() >= set(ALWAYS)
        assert response.headers.keys() >= set(ALWAYS)
        told = response.headers.keys() & self._components["headers"].keys()
        assert told <= headers.keys()
        for name in told:
            schema, text = self._resolved(headers[name])["schema"], response.headers[name]
            self.check_value(schema, int(text) if schema.get("type") == "integer" else text)


async def description(app: FastAPI) -> Description:
    """An application's own, without a request that would be logged and counted."""
    route = next(route for route in app.router.routes if isinstance(route, APIRoute) and route.path == "/openapi.json")
    response: Response = await route.endpoint(None)
    return _description(bytes(response.body))


@functools.lru_cache(maxsize=16)
def _description(content: bytes) -> Description:
    return Description(json.loads(content))


def _closed(schemas: Json) -> Json:
    """Nothing is answered that is not described."""
    closed = {name: schema | {"additionalProperties": False} for name, schema in schemas.items() if _is_answer(schema)}
    return schemas | {name: schema for name, schema in closed.items() if name not in OPEN_ENDED}


def _is_answer(schema: Json) -> bool:
    return "properties" in schema and "additionalProperties" not in schema
