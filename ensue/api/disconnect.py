"""Work for a client lasts as long as the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientDisconnected(Exception):
    """The client went away before its answer was complete."""


async def unless_disconnected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes away. The body must have been read.

    The work is done by the calling task: a request has one task more than it would have without this, not two.

    Raises:
        ClientDisconnected: before the work was done.
    """
    task = asyncio.current_task()
    assert task is not None
    num_cancelling, is_gone = task.cancelling(), False

    def leave(watching: asyncio.Task[None]) -> None:
        nonlocal is_gone
        if not watching.cancelled():
            is_gone = True
            task.cancel()

    watching = asyncio.create_task(_until_disconnect(receive))
    watching.add_done_callback(leave)
    try:
        return await work
    finally:
        watching.remove_done_callback(leave)
        watching.cancel()
        if is_gone and task.uncancel() <= num_cancelling:  # else somebody else has cancelled the task, too
            raise ClientDisconnected


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
