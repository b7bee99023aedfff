"""Several generations read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from ensue.errors import EngineDead
from ensue.outputs import TokenOutput
from ensue.service.merge import merged


class Listed:
    """A generation with given outputs, then an error or the end."""

    def __init__(self, token_ids: Iterable[int], error: Exception | None = None) -> None:
        self._token_ids = iter(token_ids)
        self._error = error
        self.num_read = 0

    def __aiter__(self) -> Listed:
        return self

    async def __anext__(self) -> TokenOutput:
        await asyncio.sleep(0)
        for token_id in self._token_ids:
            self.num_read += 1
            return TokenOutput(0, (token_id,))
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def stop(self, sample_index: int) -> None:
        raise AssertionError("nobody asks")

    async def aclose(self) -> None:
        raise AssertionError("nobody asks")


@pytest.mark.parametrize("count", [1, 2, 40])
async def test_all_outputs_come_in_the_order_of_their_generation(count: int) -> None:
    seen: dict[int, list[int]] = {}
    async for number, output in merged([Listed(range(5)) for _ in range(count)]):
        seen.setdefault(number, []).extend(output.token_ids)
    assert seen == {number: [0, 1, 2, 3, 4] for number in range(count)}


@pytest.mark.parametrize("others", [[], [Listed(range(100))]])
async def test_the_first_error_ends_it(others: list[Listed]) -> None:
    with pytest.raises(EngineDead):
        async for _ in merged([Listed((1, 2), EngineDead("Gone.")), *others]):
            pass


async def test_a_slow_reader_is_not_run_ahead_of() -> None:
    fast = Listed(range(1000))
    outputs = merged([fast, Listed(())])
    await anext(outputs)
    for _ in range(50):
        await asyncio.sleep(0)
    assert fast.num_read <= 3
    await outputs.aclose()


async def test_closing_leaves_no_task() -> None:
    before = len(asyncio.all_tasks())
    outputs = merged([Listed(range(1000)) for _ in range(3)])
    await anext(outputs)
    await outputs.aclose()
    assert len(asyncio.all_tasks()) == before
