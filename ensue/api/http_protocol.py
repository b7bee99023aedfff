"""Uvicorn's HTTP/1.1 protocol with bounds: how large headers may be, how slowly a request may come, how long a client
may leave its answer untaken. What breaks them is answered in the one error shape, and the connection ends. Nothing is
upgraded, and what stands behind a body changes nothing.
"""

from __future__ import annotations

import asyncio
import http
import secrets
from enum import Enum, auto
from typing import Any

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ensue.api import chunks
from ensue.api.context import OPENAI_VERSION
from ensue.api.protocol import ErrorDetail, ErrorObject
from ensue.config import LimitsConfig

MAX_WAITING = 32  # requests of one connection that were sent before those ahead of them had been answered
STALL_AFTER_S = 30.0  # a client that takes nothing for this long, its buffer full, is given up


class _HeadersTooLargeError(Exception):
    """Ends parsing; the parser's library wraps it."""


class _UnservedError(Exception):
    """Ends parsing: a transfer coding that is not served, or a tunnel."""


class _TooManyWaitingError(Exception):
    """Ends parsing: requests that wait in line are held in memory."""


class _Phase(Enum):
    """What is being received."""

    IDLE = auto()  # nothing yet, or an answer is awaited
    HEADERS = auto()
    BODY = auto()


def refusal(status: int, message: str, code: str) -> bytes:
    """A whole response, for requests that never become one to the application."""
    content = msgspec.json.encode(ErrorObject(ErrorDetail(message, "invalid_request_error", None, code)))
    lines = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        f"x-request-id: req_{secrets.token_hex(16)}",
        "openai-processing-ms: 0",
        f"openai-version: {OPENAI_VERSION}",
        "connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: LimitsConfig,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._phase = _Phase.IDLE
        self._num_unseen_bytes = 0  # received since headers were complete or a piece of the body came
        self._num_header_bytes = 0  # of complete header fields
        self._is_refused = False
        self._receive_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self._limits.stream_buffer_bytes)
        self._await_receipt(self._limits.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_receipt()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_AFTER_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()

    # ---- a request comes in

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._num_unseen_bytes += len(data)  # the parser keeps a field to itself until it is complete
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._num_unseen_bytes > self._limits.max_header_bytes:
            self._refuse(431, *self._too_large())
        self._bound_idleness()

    def _parse(self, data: bytes) -> None:
        pieces: list[bytes | memoryview] = [memoryview(data)]
        try:
            while pieces:
                piece = pieces.pop()
                try:
                    self.parser.feed_data(piece)
                except httptools.HttpParserUpgrade as upgrade:
                    pieces += (piece[upgrade.args[0] :], self._head_without_upgrade())
        except httptools.HttpParserError:
            self.send_400_response("")

    def _head_without_upgrade(self) -> bytes:
        """For another parser: clients offer HTTP/2 along with a request, and this one has given up its body."""
        fields = [b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        return head + b"".join(fields) + b"\r\n"

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = _Phase.HEADERS
        self._num_header_bytes = 0
        self._await_receipt(self._limits.header_timeout_s)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_header_bytes(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is _Phase.HEADERS:  # a field behind the body would pass what has looked at those before it
            super().on_header(name, value)
        self._count_header_bytes(len(name) + len(value) + len(b": \r\n"))
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise _UnservedError

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():  # this parser ends here
            if self.parser.get_method() == b"CONNECT":
                raise _UnservedError
            return
        self._phase = _Phase.BODY
        self._num_unseen_bytes = 0
        super().on_headers_complete()
        if len(self.pipeline) > MAX_WAITING:
            raise _TooManyWaitingError
        if self.cycle is not None:
            chunks.offer(self.cycle)
        self._await_receipt(self._limits.body_timeout_s)

    def on_body(self, body: bytes) -> None:
        self._num_unseen_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._phase = _Phase.IDLE
        self._end_receipt()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is _Phase.BODY:  # of a request that was waiting in line
            self._await_receipt(self._limits.body_timeout_s)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library's words say less
        """The parser gave up; on our behalf, where the headers were too large."""
        if self._phase is _Phase.HEADERS and self._headers_exceed():
            self._refuse(431, *self._too_large())
        else:
            self._refuse(400, "This is not a valid HTTP/1.1 request.", "bad_request")

    # ---- bounds

    def _count_header_bytes(self, num_bytes: int) -> None:
        self._num_header_bytes += num_bytes
        if self._headers_exceed():
            raise _HeadersTooLargeError

    def _headers_exceed(self) -> bool:
        limits = self._limits
        return self._num_header_bytes > limits.max_header_bytes or len(self.headers) > limits.max_header_fields

    def _too_large(self) -> tuple[str, str]:
        bounds = f"{self._limits.max_header_bytes} bytes and {self._limits.max_header_fields} fields"
        return f"The request's headers must be at most {bounds}.", "headers_too_large"

    def _bound_idleness(self) -> None:
        """Bytes that begin no request must not keep a connection open: they ended the keep-alive's wait."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        is_timed = self._receive_timer is not None or self.timeout_keep_alive_task is not None
        if self._phase is _Phase.IDLE and not is_answering and not is_timed and not self._is_refused:
            self._await_receipt(self._limits.header_timeout_s)

    def _await_receipt(self, timeout_s: float) -> None:
        """Headers or body must be there in time. While an earlier answer is under way, no body is read or awaited."""
        self._end_receipt()
        if not self.pipeline:
            self._receive_timer = self.loop.call_later(timeout_s, self._on_too_slow)

    def _end_receipt(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _on_too_slow(self) -> None:
        if self._phase is _Phase.IDLE:  # nothing was asked
            self.transport.close()
        else:
            self._refuse(408, "The request did not arrive in time.", "receive_timeout")

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Answer and close; the application, where it has the request, learns that the client is gone."""
        self._is_refused = True
        self._end_receipt()
        if not self.transport.is_closing():
            if self._can_answer():
                self.transport.write(refusal(status, message, code))
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _can_answer(self) -> bool:
        """Whether a response written now would stand where this request's belongs."""
        if self.cycle is None:
            return True
        if self.pipeline:  # others stand in line before it
            return False
        return not self.cycle.response_started if self._phase is _Phase.BODY else self.cycle.response_complete
