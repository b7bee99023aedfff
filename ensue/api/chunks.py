"""Chunks of a response that go out at once, past ASGI's `send`: a stream writes one for every token."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

Write = Callable[[bytes], bool]  # false: not written, and to be sent the ordinary way, which waits or raises
_EXTENSION = "ensue.write"


def offer(cycle: RequestResponseCycle) -> None:
    """Let the application of this request write chunks, once it has begun its response."""
    scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]
    scope.setdefault("extensions", {})[_EXTENSION] = functools.partial(_write, cycle)


def writer_of(scope: Scope) -> Write:
    """How to write; what is no server of ours (a test's) writes nothing that way."""
    write: Write = scope.get("extensions", {}).get(_EXTENSION, _refuse)
    return write


def _write(cycle: RequestResponseCycle, data: bytes) -> bool:
    if cycle.disconnected or cycle.flow.write_paused or not cycle.chunked_encoding or cycle.response_complete:
        return False
    cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
    return True


def _refuse(_data: bytes) -> bool:
    return False
