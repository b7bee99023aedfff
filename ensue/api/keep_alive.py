"""Comments in a quiet stream, so that nothing on the way to the client takes the connection for dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

from ensue.api.chunks import Write

COMMENT = b": keep-alive\n\n"

SendEvent = Callable[[bytes], Awaitable[None]]


class KeepAlive:
    """While it is open, sends a comment whenever nothing was written or sent through it for so long."""

    def __init__(
        self,
        period_s: float,
        write: Write,
        send: SendEvent,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._period_s = period_s
        self._write = write
        self._send = send
        self._clock = clock
        self._sleep = sleep
        self._sent_at = clock()
        self._num_sending = 0
        self._commenting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> KeepAlive:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Never in the middle of a comment."""
        assert self._task is not None
        async with self._commenting:
            self._task.cancel()

    def write(self, data: bytes) -> bool:
        self._sent_at = self._clock()
        return self._write(data)

    async def send(self, data: bytes) -> None:
        """A client that is slow to take something is not kept waiting for news."""
        self._num_sending += 1
        try:
            await self._send(data)
        finally:
            self._num_sending -= 1
            self._sent_at = self._clock()

    async def _run(self) -> None:
        while True:
            await self._sleep(self._sent_at + self._period_s - self._clock())
            if self._num_sending:
                self._sent_at = self._clock()
            elif self._clock() >= self._sent_at + self._period_s:
                async with self._commenting:
                    await self.send(COMMENT)
