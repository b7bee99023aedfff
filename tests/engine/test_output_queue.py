"""Outputs between what makes them and what reads them: nothing is lost, told twice or copied more than once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.engine.output_queue import OutputQueue
from ensue.errors import EngineDead
from ensue.outputs import FinishReason, TokenOutput


class Listener:
    """Counts how often it was told and has not read since."""

    def __init__(self) -> None:
        self.num_unread = 0

    def __call__(self) -> None:
        self.num_unread += 1


class CountedIds(tuple[int, ...]):
    """Token ids that count how often one of them is copied."""

    num_copied = 0

    def __iter__(self) -> Iterator[int]:
        CountedIds.num_copied += len(self)
        return super().__iter__()

    def __add__(self, other: Any) -> Any:
        CountedIds.num_copied += len(self) + len(other)
        return CountedIds(super().__add__(other))


def queue_of(num_samples: int = 1) -> OutputQueue:
    return OutputQueue(num_samples, lambda: None)


@given(st.lists(st.sampled_from([0, 1, "read"]), max_size=40), st.integers(0, 40))
async def test_each_output_is_told_once_and_read_once(events: list[int | str], listens_after: int) -> None:
    queue, listener = queue_of(2), Listener()
    put: dict[int, list[int]] = {0: [], 1: []}
    read: dict[int, list[int]] = {0: [], 1: []}
    for number, event in enumerate([*events, "read", "read", "read"]):
        if number == min(listens_after, len(events)):
            queue.listen(listener)
        if isinstance(event, int):
            put[event].append(number)
            queue.put(TokenOutput(event, (number,)))
        elif number >= min(listens_after, len(events)) and (output := queue.poll()) is not None:
            listener.num_unread -= 1
            read[output.sample_index].extend(output.token_ids)
    assert read == put
    assert listener.num_unread == 0


async def test_a_failure_is_told_and_comes_after_the_outputs() -> None:
    queue, listener = queue_of(), Listener()
    queue.listen(listener)
    queue.put(TokenOutput(0, (1,)))
    queue.fail(EngineDead("gone"))
    assert listener.num_unread == 2
    assert queue.poll() == TokenOutput(0, (1,))
    for _ in range(2):
        with pytest.raises(EngineDead):
            queue.poll()


async def test_who_listens_late_is_told_of_a_failure_too() -> None:
    queue, listener = queue_of(), Listener()
    queue.fail(EngineDead("gone"))
    queue.listen(listener)
    assert listener.num_unread == 1


async def test_what_is_not_read_is_copied_once_however_much_it_is() -> None:
    queue = queue_of()
    CountedIds.num_copied = 0
    for number in range(1000):
        queue.put(TokenOutput(0, CountedIds((number,)), finish_reason=FinishReason.LENGTH if number == 999 else None))
    parts = [output async for output in queue]
    assert [id_ for part in parts for id_ in tuple.__iter__(part.token_ids)] == list(range(1000))
    assert CountedIds.num_copied == 1000
    assert [len(part.token_ids) for part in parts] == [256, 256, 256, 232]  # no more at once


@given(st.lists(st.integers(0, 1), max_size=30))
async def test_much_of_one_sample_is_told_in_parts_while_the_other_is_read(more: list[int]) -> None:
    queue, listener = queue_of(2), Listener()
    queue.listen(listener)
    for sample in [0] * 600 + more:
        queue.put(TokenOutput(sample, (sample,)))
    read: list[int] = []
    while (output := queue.poll()) is not None:
        listener.num_unread -= 1
        read += output.token_ids
    assert (sorted(read), listener.num_unread) == (sorted([0] * 600 + more), 0)
