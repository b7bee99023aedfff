"""Around every request: an id, headers that each answer has, one line of access log, and the last net for faults."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensue.api.disconnect import ClientDisconnected
from ensue.api.error_handlers import draining, error_response, expected_response, internal_error
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.store.api_key import ApiKey
from ensue.store.key_tokens import TOKEN_PREFIX

OPENAI_VERSION = "2020-10-01"  # the only version there is
CLIENT_CLOSED = 499  # how the log calls an answer that nobody waited for
METERED = "/v1/"  # requests to these routes are counted
_ALWAYS = ((b"openai-version", OPENAI_VERSION.encode()), (b"x-content-type-options", b"nosniff"))
_LABEL = re.compile(rf"(?!.*{TOKEN_PREFIX})[A-Za-z0-9._:/+=@-]{{1,128}}")
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9._-]{0,20}(?=/|$)){1,6}")  # too short for a key, too plain for a prompt

RawHeader = tuple[bytes, bytes]

log = structlog.get_logger("ensue.access")


def _request_ids() -> Iterator[str]:
    """Random ones; asking the system for each takes longer than all else about it."""
    while True:
        digits = secrets.token_hex(16 * 64)
        yield from (digits[i : i + 32] for i in range(0, len(digits), 32))


_REQUEST_IDS = _request_ids()


@dataclass(slots=True)
class RequestContext:
    """What belongs to one request alone."""

    request_id: str = field(default_factory=lambda: next(_REQUEST_IDS))
    started_at: float = field(default_factory=time.perf_counter)
    status: int | None = None  # None until the answer starts
    key: ApiKey | None = None  # that it came with, where one is needed
    model: str = ""  # canonical name, once known
    answer_headers: dict[str, str] = field(default_factory=dict)  # that its answer carries, be it an error

    @property
    def key_id(self) -> str:
        """Whose turn it is; empty where nobody needs a key."""
        return "" if self.key is None else self.key.id

    @property
    def rights(self) -> KeyRights | None:
        """What the caller may do; None where nobody needs a key."""
        return None if self.key is None else self.key.rights

    @property
    def header(self) -> str:
        """As the caller sees the id."""
        return f"req_{self.request_id}"

    @property
    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started_at) * 1000


def context_of(scope: Scope) -> RequestContext:
    context = scope["state"]["context"]
    assert isinstance(context, RequestContext)
    return context


class ContextMiddleware:
    """Stands between the server and the router, alone."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext()
        scope.setdefault("state", {})["context"] = context

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = _with_ours(message["headers"], context)
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=context.header)  # of this task, which ends with the request
        try:
            await self._guarded(scope, receive, send_with_headers)
        finally:
            _write_line(scope, context)
            self._count(scope, context)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every fault is answered, as long as no answer has begun."""
        context = context_of(scope)
        try:
            await self._app(scope, receive, send)
        except ClientDisconnected:
            context.status = CLIENT_CLOSED
        except asyncio.CancelledError:  # the server ends, and this request had its time to drain
            if context.status is not None:
                raise
            await error_response(draining())(scope, receive, send)
        except Exception as error:
            response = expected_response(error, scope)
            if response is None or context.status is not None:
                log.exception("unexpected error")
            if context.status is not None:
                raise
            await (response or error_response(internal_error()))(scope, receive, send)

    def _count(self, scope: Scope, context: RequestContext) -> None:
        path = str(scope["route"].path) if "route" in scope else ""
        if path.startswith(METERED) and context.status is not None:
            self._metrics.request_ended(context.model, path, context.status, context.elapsed_ms / 1000)


def _with_ours(headers: Iterable[RawHeader], context: RequestContext) -> list[RawHeader]:
    """
    Args:
        headers: of an answer; an error may know better than what its request was promised.
    """
    own = list(headers)
    if context.answer_headers:
        names = {name for name, _ in own}
        promised = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in context.answer_headers.items())
        own += [header for header in promised if header[0] not in names]
    own.append((b"x-request-id", context.header.encode()))
    own.append((b"openai-processing-ms", b"%d" % round(context.elapsed_ms)))
    own += _ALWAYS
    return own


def _write_line(scope: Scope, context: RequestContext) -> None:
    """Never a body, a query or a header but the client's own label, where it is a harmless one."""
    label = Headers(scope=scope).get("x-request-id", "")
    log.info(
        "request",
        method=scope["method"],
        path=_shown_path(scope),
        status=context.status,
        request_id=context.header,
        ms=round(context.elapsed_ms, 1),
        client_label=label if _LABEL.fullmatch(label) else None,
    )


def _shown_path(scope: Scope) -> str:
    """The route's pattern; of an unknown path, the start that can hold no secret."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    plain = _PLAIN_PATH.match(scope["path"])
    start = plain[0] if plain else "/"
    return start if start == scope["path"] else start + "..."
