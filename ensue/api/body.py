"""Reading a request body: JSON only, uncompressed, never more bytes than allowed. http_protocol watches the time."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request

from ensue.api import strict_json
from ensue.api.disconnect import ClientDisconnected
from ensue.config import LimitsConfig
from ensue.errors import RequestTooLarge, UnsupportedMediaType


async def read_json(request: Request, limits: LimitsConfig) -> Any:
    """The body's value.

    Raises:
        UnsupportedMediaType: not application/json, or compressed.
        RequestTooLarge: noticed while it arrives, not after.
        InvalidRequest: no good JSON.
    """
    _check_headers(request.headers, limits.max_body_bytes)
    return strict_json.parse(await _read(request, limits.max_body_bytes), limits.max_json_depth)


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
