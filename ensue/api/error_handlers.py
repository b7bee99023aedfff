"""Errors to HTTP: the one place that gives an error its status, headers and body, whoever raised it."""

from __future__ import annotations

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from ensue.api.protocol import ErrorDetail, ErrorObject
from ensue.errors import (
    AuthenticationError,
    GenerationFailed,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RequestError,
    RequestTooLarge,
    UnknownUrl,
    UnsupportedMediaType,
)

MAX_PARAM = 256  # characters of a field's path; a caller's own names may make it any length
LONGEST_RETRY_AFTER_S = 60  # of a 503
DEFAULT_RETRY_AFTER_S = 1  # of a 503 that does not say
DRAINING_RETRY_AFTER_S = 5

log = structlog.get_logger("ensue.api")


def body_of(error: RequestError) -> ErrorObject:
    """The one shape."""
    param = None if error.param is None else error.param[:MAX_PARAM]
    return ErrorObject(ErrorDetail(error.message, error.type, param, error.code))


def headers_of(error: RequestError) -> dict[str, str]:
    """What a client's retries go by."""
    headers = dict(error.headers)
    retry_after_s = error.retry_after_s
    if error.status == 503:
        retry_after_s = min(DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s, LONGEST_RETRY_AFTER_S)
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, retry_after_s))
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    if isinstance(error, AuthenticationError):
        headers["www-authenticate"] = "Bearer"
    return headers


def error_response(error: RequestError) -> Response:
    content = msgspec.json.encode(body_of(error))
    return Response(content, error.status, headers_of(error), media_type="application/json")


def internal_error() -> GenerationFailed:
    """What the caller learns of a fault of ours."""
    return GenerationFailed("The server failed on this request.")


def draining() -> Overloaded:
    """What the server says while it ends."""
    return Overloaded("The server is shutting down.", code="draining", retry_after_s=DRAINING_RETRY_AFTER_S)


def expected_response(error: Exception, scope: Scope) -> Response | None:
    """The answer to one of our own errors or of the framework's; None: nobody expects this one."""
    if isinstance(error, RequestError):
        return error_response(error)
    if isinstance(error, HTTPException):
        response = error_response(from_status(error.status_code))
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["allow"] = ", ".join(sorted(_methods(scope)))
        return response
    return None


def _methods(scope: Scope) -> set[str]:
    """That the path answers: the framework names those of the path's first route only."""
    routes = [route for route in scope["app"].routes if route.matches(scope)[0] is not Match.NONE]
    return {method for route in routes for method in route.methods}


def from_status(status: int) -> RequestError:
    """Our error for one that the framework knows by its status alone."""
    match status:
        case 404:
            return UnknownUrl("There is nothing at this URL.")
        case 405:
            return MethodNotAllowed("This URL does not answer this method.")
        case 413:
            return RequestTooLarge("The body is too large.")
        case 415:
            return UnsupportedMediaType("The body must be application/json.")
        case _ if status < 500:
            return InvalidRequest("The request is not valid.")
    return internal_error()
