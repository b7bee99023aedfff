"""Reading a request body: JSON only, uncompressed, never more bytes than allowed. http_protocol watches the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request

from ensue.api import strict_json
from ensue.api.context import context_of
from ensue.api.disconnect import ClientDisconnected
from ensue.config import LimitsConfig
from ensue.errors import RequestTooLarge, UnsupportedMediaType
from ensue.turns import FairThreads

T = TypeVar("T")


class BodyReader:
    """Parses large bodies in a thread, one after the other in turns of their keys; the event loop goes on meanwhile."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._thread = FairThreads(1, "bodies")

    async def read(self, request: Request, parse: Callable[[Any], T]) -> T:
        """What `parse` makes of the body's value.

        Raises:
            UnsupportedMediaType: not application/json, or compressed.
            RequestTooLarge: noticed while it arrives, not after.
            InvalidRequest: no good JSON, or what `parse` raises.
        """
        limits = self._limits
        _check_headers(request.headers, limits.max_body_bytes)
        body = await _read(request, limits.max_body_bytes)

        def parsed() -> T:
            return parse(strict_json.parse(body, limits.max_json_depth))

        if len(body) <= strict_json.LARGE_BYTES:
            return parsed()
        return await self._thread.run(context_of(request.scope).key_id, parsed)


def _check_headers(headers: Headers, max_bytes: int) -> None:
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType("The body must be JSON: send Content-Type: application/json.")
    if parameters.strip() and parameters.replace('"', "").strip().lower() not in ("charset=utf-8", "charset=utf8"):
        raise UnsupportedMediaType("The body must be UTF-8.")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("The body must not be compressed.")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)


async def _read(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body must be at most {max_bytes} bytes.")
