"""Turns at something that serves few at a time: names take turns, so that none waits behind all that another asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """Used from one event loop."""

    def __init__(self, num_at_once: int = 1) -> None:
        self._num_free = num_at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the first name is the next one's

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn, and pass it on in the end."""
        await self._wait(name)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, name: str) -> None:
        if self._num_free:
            self._num_free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(name, turn)
            else:  # it came at the same moment
                self._pass_on()
            raise

    def _leave(self, name: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(name, deque())
        if turn in turns:  # else it was passed over at the same moment
            turns.remove(turn)
        if not turns:
            self._waiting.pop(name, None)

    def _pass_on(self) -> None:
        while (name := next(iter(self._waiting), None)) is not None:
            turns = self._waiting[name]
            turn = turns.popleft()
            if not turns or not turn.cancelled():
                del self._waiting[name]
            if turn.cancelled():  # whoever waited is about to leave
                continue
            if turns:
                self._waiting[name] = turns  # at the end of the line
            turn.set_result(None)
            return
        self._num_free += 1


class FairThreads:
    """Threads for work that would hold up the event loop."""

    def __init__(self, num_threads: int, thread_name: str) -> None:
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix=thread_name)
        self._turns = Turns(num_threads)

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """What the work gives, in the turn of a name."""
        async with self._turns.take(name):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
