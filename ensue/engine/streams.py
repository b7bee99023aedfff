"""Messages over an asyncio stream; both ends of the socket use it."""

from __future__ import annotations

import asyncio

from ensue.engine import wire
from ensue.engine.wire import Message


async def read(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None when the other side has closed.

    Raises:
        WireError: what came is not of this protocol.
    """
    try:
        length, kind = wire.body_length(await reader.readexactly(wire.HEADER.size))
        return wire.decode(kind, await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
