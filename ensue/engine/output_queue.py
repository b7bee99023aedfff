"""The outputs of one request between what makes them and what reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ensue.outputs import TokenOutput

MAX_JOINED = 255  # more outputs at once would hold up the event loop


class OutputQueue:
    """Filled by `put` and `fail`, read by iteration, or by `listen` and `poll`; all in one event loop.

    A slow reader gets fewer, larger outputs.
    """

    def __init__(self, num_samples: int, on_end: Callable[[], None]) -> None:
        """
        Args:
            on_end: called when the last finish has been read, and at a failure.
        """
        self._num_running = num_samples  # samples whose finish has not been read
        self._waiting: dict[int, TokenOutput] = {}  # by sample, in the order in which they came
        self._later: dict[int, list[TokenOutput]] = {}  # what came behind those; joined once, when they are read
        self._error: Exception | None = None
        self._on_end = on_end
        self._listener: Callable[[], None] = _ignore
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call

    @property
    def has_ended(self) -> bool:
        return not self._num_running or self._error is not None

    # ---- the reader

    def __aiter__(self) -> OutputQueue:
        return self

    async def __anext__(self) -> TokenOutput:
        while (output := self.poll()) is None:
            if not self._num_running:
                raise StopAsyncIteration
            await self._arrival()
        return output

    def _arrival(self) -> asyncio.Future[None]:
        arrival: asyncio.Future[None] = self._loop.create_future()

        def tell() -> None:
            if not arrival.done():
                arrival.set_result(None)

        self.listen(tell)
        return arrival

    def listen(self, listener: Callable[[], None]) -> None:
        """See `engine.base.Generation`."""
        self._listener = listener
        for _ in range(len(self._waiting) + (self._error is not None)):
            listener()

    def poll(self) -> TokenOutput | None:
        """See `engine.base.Generation`."""
        if not self._waiting:
            if self._error is not None:
                raise self._error
            return None
        sample = next(iter(self._waiting))
        output = self._waiting.pop(sample)
        if self._later:
            output = output.merge(*self._take_later(sample))
        if output.finish_reason is not None:
            self._num_running -= 1
            if not self._num_running:
                self._listener = _ignore
                self._on_end()
        return output

    def _take_later(self, sample: int) -> Sequence[TokenOutput]:
        """What is joined to a sample's output; of much, the rest waits, as if it had just come."""
        later = self._later.pop(sample, [])
        if len(later) > MAX_JOINED:
            self._waiting[sample], *self._later[sample] = later[MAX_JOINED:]
            self._listener()
        return later[:MAX_JOINED]

    # ---- the maker

    def put(self, output: TokenOutput) -> None:
        """Add what comes next of one sample."""
        if output.sample_index in self._waiting:
            self._later.setdefault(output.sample_index, []).append(output)
        else:
            self._waiting[output.sample_index] = output
            self._listener()

    def fail(self, error: Exception) -> None:
        """Raise this after what has come so far."""
        self._error = error
        self._on_end()
        self._listener()


def _ignore() -> None:
    """Nobody listens."""
