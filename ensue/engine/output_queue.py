"""The outputs of one request between what makes them and what reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ensue.errors import RequestError
from ensue.outputs import TokenOutput


class OutputQueue:
    """Filled by `put` and `fail`, read by iteration, in one event loop. A slow reader gets fewer, larger outputs."""

    def __init__(self, num_samples: int, on_end: Callable[[], None]) -> None:
        """
        Args:
            on_end: called when the last finish has been read, and at a failure.
        """
        self._num_running = num_samples  # samples whose finish has not been read
        self._waiting: dict[int, TokenOutput] = {}  # by sample, in the order in which they came
        self._error: RequestError | None = None
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call
        self._reader: asyncio.Future[None] | None = None  # done when there is something to read

    @property
    def has_ended(self) -> bool:
        return not self._num_running or self._error is not None

    def __aiter__(self) -> OutputQueue:
        return self

    async def __anext__(self) -> TokenOutput:
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if not self._num_running:
                raise StopAsyncIteration
            self._reader = self._loop.create_future()
            await self._reader
        output = self._waiting.pop(next(iter(self._waiting)))
        if output.finish_reason is not None:
            self._num_running -= 1
            if not self._num_running:
                self._on_end()
        return output

    def put(self, output: TokenOutput) -> None:
        earlier = self._waiting.get(output.sample_index)
        self._waiting[output.sample_index] = output if earlier is None else earlier.merge(output)
        self._wake()

    def fail(self, error: RequestError) -> None:
        """Raise this after what has come so far."""
        self._error = error
        self._on_end()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
