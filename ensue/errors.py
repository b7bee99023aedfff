"""Every error that ensue raises on purpose.

    EnsueError
      ClientError                   the caller can mend it
        InvalidRequest              400
          ContextLengthExceeded       prompt or prompt + max_tokens beyond the context
          UnknownParameter            a field that nobody knows
          UnsupportedParameter        a known field that this server does not serve
          InvalidGrammar              guided decoding: malformed, impossible or too large
        AuthenticationError         401  missing, unknown, revoked or expired key
        PermissionDenied            403  the key's rights do not cover it
        ModelNotFound               404  unknown model, or one the key may not use
        KeyNotFound                 404  no API key has this id
        UnknownUrl                  404  no such route
        MethodNotAllowed            405
        RequestTooLarge             413
        UnsupportedMediaType        415
        RateLimited                 429  too fast
        QuotaExceeded               429  budget used up
      ServerError                   ours
        GenerationFailed            500  one request failed in the engine
        Overloaded                  503  queue full, loading or draining
        EngineDead                  503  the worker died; it is being restarted
        RequestTimeout              504  the request's deadline passed
      StartupError                  the server cannot start: bad configuration, bad model folder
        ConfigError                   an option, variable or file key
        ModelError                    a checkpoint that cannot be served

Each class says how it looks from outside (`status`, `type`, `code`); `api/error_handlers` is the one place that turns
them into HTTP. Messages are sentences for the caller: what was given, what is allowed. They hold no user text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

MAX_SHOWN = 64
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{12,}")  # ours, and those of other providers


def shown(word: str) -> str:
    """A caller's field or model name as a message may repeat it: short, printable ASCII, and no key that slipped in."""
    word = _KEY.sub("sk-...", word)
    plain = "".join(c if c.isascii() and c.isprintable() and c not in "`\\" else "?" for c in word[:MAX_SHOWN])
    return plain + ("..." if len(word) > MAX_SHOWN else "")


class EnsueError(Exception):
    """Base of all; `message` is safe to show to the caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(EnsueError):
    """An error that answers one request."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None  # machine-readable detail; a class default that an instance may refine
    should_retry: ClassVar[bool | None] = None  # None: leave it to the client's own rules

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,  # further ones of the answer
    ) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        if code is not None:
            self.code = code


class ClientError(RequestError):
    """The caller can mend it."""

    status = 400
    type = "invalid_request_error"


class InvalidRequest(ClientError):
    """A bad value; `param` names the field with its path, as in `prompt[3]`."""


class ContextLengthExceeded(InvalidRequest):
    """The prompt, or the prompt and an explicit max_tokens, do not fit the context."""

    code = "context_length_exceeded"


class UnknownParameter(InvalidRequest):
    """A field that nobody knows; the message names the nearest known one."""

    code = "unknown_parameter"


class UnsupportedParameter(InvalidRequest):
    """A known field that this server, model or engine does not serve."""

    code = "unsupported_parameter"


class InvalidGrammar(InvalidRequest):
    """A schema, regex or grammar that is malformed, impossible or too large."""

    code = "invalid_grammar"


class AuthenticationError(ClientError):
    """No key, or one that is unknown, revoked or expired."""

    status = 401


class PermissionDenied(ClientError):
    """The key is good, its rights do not cover the request."""

    status = 403
    type = "permission_denied"
    code = "insufficient_scope"


class ModelNotFound(ClientError):
    """An unknown model, or one that the key may not use."""

    status = 404
    code = "model_not_found"


class KeyNotFound(ClientError):
    """No API key has this id."""

    status = 404
    code = "key_not_found"


class UnknownUrl(ClientError):
    """No route has this path."""

    status = 404
    code = "unknown_url"


class MethodNotAllowed(ClientError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


class RequestTooLarge(ClientError):
    """The body is larger than the server reads."""

    status = 413
    code = "content_too_large"


class UnsupportedMediaType(ClientError):
    """The body is not application/json, or it is compressed."""

    status = 415
    code = "unsupported_media_type"


class RateLimited(ClientError):
    """Too many requests or tokens in the present window; `retry_after_s` says when there is room."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class QuotaExceeded(ClientError):
    """The key's budget is used up; `retry_after_s` says when it begins anew, if ever: no client waits for that."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class ServerError(RequestError):
    """Ours to mend."""


class GenerationFailed(ServerError):
    """The engine failed on this request; others go on."""

    should_retry = False


class Overloaded(ServerError):
    """No room now; `retry_after_s` says when to come back."""

    status = 503
    type = "service_unavailable_error"
    code = "server_is_overloaded"


class EngineDead(ServerError):
    """The engine worker died; it is being restarted."""

    status = 503
    type = "service_unavailable_error"
    code = "engine_restarting"


class RequestTimeout(ServerError):
    """The request's deadline passed."""

    status = 504
    type = "timeout_error"
    code = "request_timeout"
    should_retry = False


class StartupError(EnsueError):
    """The server cannot start; nothing was started."""


class ConfigError(StartupError):
    """An option, environment variable or file key is unknown or has a bad value."""


class ModelError(StartupError):
    """The checkpoint cannot be served; the message names what was expected and what was found."""
