"""Several generations read as one, each as fast as the reader takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ensue.engine.base import Generation
from ensue.outputs import TokenOutput

Numbered = tuple[int, TokenOutput]  # (number of the generation, its output)


@dataclass(frozen=True, slots=True)
class _End:
    """A generation is over, well or badly."""

    error: Exception | None = None


class NumberedOutputs(Protocol):
    """To be closed where it is not read to its end."""

    def __aiter__(self) -> AsyncIterator[Numbered]: ...

    async def __anext__(self) -> Numbered: ...

    async def aclose(self) -> None: ...


def merged(generations: Sequence[Generation]) -> NumberedOutputs:
    """All outputs in the order of their arrival; the first error of any ends it."""
    return _Only(generations[0]) if len(generations) == 1 else _several(generations)


class _Only:
    """One generation, read as if it was one of several; no generator stands between, which costs every token."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    def __aiter__(self) -> AsyncIterator[Numbered]:
        return self

    async def __anext__(self) -> Numbered:
        return 0, await self._generation.__anext__()

    async def aclose(self) -> None:
        """The generation is closed by who started it."""


async def _several(generations: Sequence[Generation]) -> AsyncGenerator[Numbered, None]:
    # One place: whoever is not read waits, and its engine merges what it would have said meanwhile.
    queue: asyncio.Queue[tuple[int, TokenOutput | _End]] = asyncio.Queue(maxsize=1)
    pumps = [asyncio.create_task(_pump(i, generation, queue)) for i, generation in enumerate(generations)]
    try:
        num_running = len(pumps)
        while num_running:
            number, item = await queue.get()
            if not isinstance(item, _End):
                yield number, item
            elif item.error is not None:
                raise item.error
            else:
                num_running -= 1
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(number: int, generation: Generation, queue: asyncio.Queue[tuple[int, TokenOutput | _End]]) -> None:
    end = _End()
    try:
        async for output in generation:
            await queue.put((number, output))
    except Exception as error:  # raised again where it is read
        end = _End(error)
    await queue.put((number, end))
