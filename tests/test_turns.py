"""Turns: one at a time, names in rotation, and none lost to whoever leaves."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ensue.turns import Turns

STEPS = st.lists(st.tuples(st.sampled_from(["come", "leave", "end"]), st.integers(0, 3)), max_size=40)


@given(STEPS)
@example([("come", 0), ("come", 1), ("leave", 0), ("leave", 1)])  # the holder and who waits leave at the same moment
def test_one_holds_the_turn_while_anybody_waits(steps: list[tuple[str, int]]) -> None:
    asyncio.run(follow(steps))


async def follow(steps: list[tuple[str, int]]) -> None:
    turns, tasks, holding = Turns(), [], set[asyncio.Event]()

    async def visit(name: str) -> None:
        end = asyncio.Event()
        async with turns.take(name):
            holding.add(end)
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()
            holding.remove(end)

    for step, number in steps:
        if step == "come":
            tasks.append(asyncio.create_task(visit("abc"[number % 3])))
        elif step == "leave" and number < len(tasks):
            tasks[number].cancel()  # it may hold, wait, or have been given the turn this moment
        elif step == "end" and holding:
            next(iter(holding)).set()
        for _ in range(number):
            await asyncio.sleep(0)
        assert len(holding) <= 1
    await drain(tasks, holding)
    async with asyncio.timeout(5), turns.take("late"):
        pass


async def drain(tasks: list[asyncio.Task[None]], holding: set[asyncio.Event]) -> None:
    for _ in range(20 * len(tasks) + 20):
        for end in tuple(holding):
            end.set()
        await asyncio.sleep(0)
    assert all(task.done() for task in tasks)


@pytest.mark.parametrize("num_at_once", [1, 2, 3])
async def test_so_many_are_served_at_once_and_no_more(num_at_once: int) -> None:
    turns, num_held, most = Turns(num_at_once), 0, 0

    async def visit(name: str) -> None:
        nonlocal num_held, most
        async with turns.take(name):
            num_held += 1
            most = max(most, num_held)
            await asyncio.sleep(0)
            num_held -= 1

    for _ in range(2):
        await asyncio.gather(*map(visit, "aaaabcb"))
    assert most == num_at_once


async def test_names_take_turns_in_the_order_in_which_they_came() -> None:
    turns, order = Turns(), []

    async def visit(name: str) -> None:
        async with turns.take(name):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*map(visit, "aaaabcb"))
    assert "".join(order) == "aabcaba"
