"""Several generations read as one, each as fast as the reader takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from ensue.engine.base import Generation
from ensue.outputs import TokenOutput

Numbered = tuple[int, TokenOutput]  # (number of the generation, its output)


@dataclass(frozen=True, slots=True)
class _End:
    """A generation is over, well or badly."""

    error: Exception | None = None


async def merged(generations: Sequence[Generation]) -> AsyncGenerator[Numbered, None]:
    """All outputs in the order of their arrival; the first error of any ends it.

    To be closed with `aclose()` where it is not read to its end.
    """
    if len(generations) == 1:
        async for output in generations[0]:
            yield 0, output
        return
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
