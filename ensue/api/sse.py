"""Server-sent events: `data: ` + compact JSON + two line feeds, one write each, `[DONE]` at the end."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ensue.api.chunks import Write, writer_of
from ensue.api.disconnect import unless_disconnected
from ensue.api.error_handlers import body_of, draining, internal_error
from ensue.api.keep_alive import KeepAlive, SendEvent
from ensue.errors import RequestError, RequestTimeout

DONE = b"data: [DONE]\n\n"
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}

_NoUsage = msgspec.UnsetType | None

_MARK = "\0"  # stands for a text

_ENCODE = msgspec.json.Encoder().encode

log = structlog.get_logger("ensue.api")


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % _ENCODE(value)


class EventTemplate:
    """Events that differ in their choice and usage alone; the rest is encoded once."""

    def __init__(self, empty: msgspec.Struct, text_choice: Callable[[int, str], msgspec.Struct]) -> None:
        """
        Args:
            empty: an event without choices and usage; its choices stand last.
            text_choice: from index and text, a choice of which nothing else is told.
        """
        self._start = event(empty).removesuffix(b"]}\n\n")
        assert self._start.endswith(b'"choices":[')
        self._text_choice = text_choice
        self._around: dict[tuple[int, _NoUsage], tuple[bytes, bytes]] = {}  # what stands before and after a text

    def event(self, choice: msgspec.Struct | None, usage: msgspec.Struct | _NoUsage) -> bytes:
        encoded = b"" if choice is None else _ENCODE(choice)
        if usage is msgspec.UNSET:
            return b"%b%b]}\n\n" % (self._start, encoded)
        return b'%b%b],"usage":%b}\n\n' % (self._start, encoded, _ENCODE(usage))

    def text_event(self, index: int, text: str, usage: _NoUsage) -> bytes:
        """The usual event, in which only the text is ever another."""
        around = self._around.get((index, usage))
        if around is None:
            before, _, after = self.event(self._text_choice(index, _MARK), usage).rpartition(_ENCODE(_MARK))
            around = self._around[index, usage] = before, after
        return b"%b%b%b" % (around[0], _ENCODE(text), around[1])


class EventStream(Response):
    """Sends what `events` writes or sends, and calls `on_close` whatever happens, maybe twice, with what kept it from
    its end.

    The response starts with the first event: what fails before it is an ordinary error response. A later failure is an
    event of its own, followed by `[DONE]`. Comments may stand between events, and before the first.
    """

    def __init__(
        self,
        events: Callable[[Write, SendEvent], Awaitable[None]],
        on_close: Callable[[BaseException | None], Awaitable[None]],
        *,
        timeout_s: float,
        keepalive_s: float | None = None,
    ) -> None:
        """
        Args:
            keepalive_s: the silence that ends with a comment.
        """
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._on_close = on_close
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_disconnected(receive, self._send_all(send, writer_of(scope)))
        except BaseException as error:
            await self._on_close(error)
            if not (self._has_started and isinstance(error, asyncio.CancelledError)):
                raise
            await _finish(send, draining())  # the server ends, and this stream had its time to drain

    async def _send_all(self, send: Send, write: Write) -> None:
        """What the request held is free before its client knows that it has ended."""
        failure = await self._send_events(send, write)
        await self._on_close(failure)
        await _finish(send, failure)

    async def _send_events(self, send: Send, write: Write) -> RequestError | None:
        """What the stream has to end with; raised where it has not begun."""
        try:
            async with asyncio.timeout(self._timeout_s), self._sender(write, send) as sender:
                await self._events(*sender)
        except TimeoutError:
            failure: RequestError = _timed_out()
        except RequestError as error:
            failure = error
        except Exception:
            if not self._has_started:
                raise
            log.exception("a stream failed")
            failure = internal_error()
        else:
            return None
        if not self._has_started:
            raise failure from None
        return failure

    @asynccontextmanager
    async def _sender(self, write: Write, send: Send) -> AsyncIterator[tuple[Write, SendEvent]]:
        """How events are written, and how they are sent."""
        send_event = functools.partial(self._send_event, send)
        if self._keepalive_s is None:
            yield write, send_event
            return
        async with KeepAlive(self._keepalive_s, write, send_event) as alive:
            yield alive.write, alive.send

    async def _send_event(self, send: Send, event: bytes) -> None:
        if not self._has_started:
            self._has_started = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send_body(send, event)


async def _finish(send: Send, error: RequestError | None = None) -> None:
    if error is not None:
        await _send_body(send, event(body_of(error)))
    await _send_body(send, DONE, more_body=False)


async def _send_body(send: Send, body: bytes, *, more_body: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


def _timed_out() -> RequestTimeout:
    return RequestTimeout("The request took longer than this server allows.")
