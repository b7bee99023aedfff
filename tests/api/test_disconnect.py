"""Work that lasts as long as its client stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ensue.api.disconnect import ClientDisconnected, unless_disconnected


class Client:
    """Leaves when told to."""

    def __init__(self) -> None:
        self.has_left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.has_left.wait()
        return {"type": "http.disconnect"}


async def test_work_that_ends_first_gives_its_result_or_its_error() -> None:
    async def fail() -> None:
        raise ValueError("of the work")

    assert await unless_disconnected(Client().receive, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="of the work"):
        await unless_disconnected(Client().receive, fail())


async def test_work_is_cancelled_and_cleaned_up_when_the_client_leaves() -> None:
    client, cleaned = Client(), list[bool]()

    async def work() -> None:
        client.has_left.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(ClientDisconnected):
        await unless_disconnected(client.receive, work())
    assert cleaned == [True]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_cancels_the_request_is_obeyed_though_the_client_leaves_too() -> None:
    client = Client()

    async def work() -> None:
        client.has_left.set()
        working.cancel()
        await asyncio.sleep(60)

    working = asyncio.create_task(unless_disconnected(client.receive, work()))
    with pytest.raises(asyncio.CancelledError):
        await working
