"""Guessing keys is slowed; good keys pass from anywhere."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from ensue.api import guesses
from ensue.api.guesses import Guesses
from ensue.config import LimitsConfig
from ensue.errors import Overloaded, RateLimited
from ensue.limits.base import Demand, Reading
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, MakeApi
from tests.api.limited import refusal
from tests.limits.places import SHARED, Clock, open_place


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def few(clock: Clock) -> Guesses:
    return Guesses(6, Metrics(), clock=clock)


async def fail(some: Guesses, address: str | None, count: int = 1) -> int | None:
    """Note wrong keys; how long the last one is to wait."""
    wait_s = None
    for _ in range(count):
        try:
            await some.note(address)
        except RateLimited as error:
            wait_s = error.retry_after_s
    return wait_s


async def test_so_many_wrong_keys_a_minute_are_one_too_many(few: Guesses, clock: Clock) -> None:
    assert await fail(few, "192.0.2.1", 5) is None
    clock.now += 10
    assert await fail(few, "192.0.2.1") is None
    assert not few.is_slowed("192.0.2.1")
    assert await fail(few, "192.0.2.1", 5) == 50
    assert few.is_slowed("192.0.2.1")
    clock.now += 50
    assert not few.is_slowed("192.0.2.1")
    assert await fail(few, "192.0.2.1", 5) is None
    assert await fail(few, "192.0.2.1") == 10


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        (None, "192.0.2.1", False),
        (None, None, True),
    ],
)
async def test_what_counts_as_one_address(few: Guesses, one: str | None, other: str | None, is_same: bool) -> None:
    await fail(few, one, 7)
    assert few.is_slowed(other) == is_same
    assert (await fail(few, other) is not None) == is_same


async def test_slowed_addresses_are_forgotten_those_that_were_told_longest_ago_first(
    few: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "MAX_SLOWED", 10)
    for last in range(11):
        await fail(few, f"192.0.2.{last}", 7)
    assert few.num_slowed == 10
    assert [few.is_slowed(f"192.0.2.{last}") for last in range(3)] == [False, True, True]


async def test_a_flood_of_addresses_shares_a_bounded_number_of_counts(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "NUM_COUNTS", 10)
    counters = MemoryCounters(clock)
    some = Guesses(1000, Metrics(), counters, clock)
    for last in range(200):
        await fail(some, f"192.0.2.{last}")
    assert counters.num_keys == 10


@pytest.mark.parametrize("place", SHARED)
async def test_processes_count_wrong_keys_together(place: str, clock: Clock, tmp_path: Path) -> None:
    address = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"  # Redis may know those of earlier runs
    places = [open_place(place, tmp_path, clock) for _ in range(3)]
    processes = [Guesses(6, Metrics(), counters, clock) for counters in places]
    waits = await asyncio.gather(*(fail(one, address) for one in processes * 10))
    assert sum(wait_s is None for wait_s in waits) == 6
    clock.now += 60
    assert await fail(processes[0], address, 6) is None
    assert await fail(processes[1], address) == 60
    for counters in places:
        await counters.close()


async def test_a_flood_asks_the_shared_place_no_more_once_it_was_refused(clock: Clock) -> None:
    counters = Counting(clock)
    some = Guesses(6, Metrics(), counters, clock)
    await fail(some, "192.0.2.1", 100)
    assert counters.num_calls == 7
    assert not some.is_slowed("192.0.2.2")
    assert counters.num_calls == 7


async def test_while_the_shared_place_does_not_answer_each_process_counts_by_itself(clock: Clock) -> None:
    counters = Counting(clock)
    counters.is_dead = True
    some = Guesses(6, Metrics(), counters, clock)
    assert await fail(some, "192.0.2.1", 6) is None
    assert await fail(some, "192.0.2.1") == 60


class Counting(MemoryCounters):
    """Counts its calls."""

    num_calls, is_dead = 0, False

    async def take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        self.num_calls += 1
        if self.is_dead:
            raise Overloaded("No answer.", retry_after_s=5)
        return await super().take(key_id, entry_id, demands)


async def call(api: Api, token: str) -> httpx2.Response:
    return await api.client.get("/v1/models", headers={"authorization": f"Bearer {token}"})


async def test_a_flood_of_wrong_keys_is_refused_and_a_good_one_passes(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys, limits=LimitsConfig(max_wrong_keys_per_minute=5))
    _, token = keys.create("k")
    answers = await asyncio.gather(*(call(api, token if i == 50 else f"sk-ensue-{i}") for i in range(100)))
    assert [answer.status_code for answer in answers].count(401) == 5
    assert [answer.status_code for answer in answers].count(429) == 94
    assert answers[50].status_code == 200
    assert refusal(answers[-1]) == (429, "rate_limit_error", "rate_limit_exceeded", "60")
    assert (await call(api, token)).status_code == 200


async def test_a_missing_or_malformed_key_is_no_guess(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys, limits=LimitsConfig(max_wrong_keys_per_minute=1))
    for headers in ({}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}) * 2:
        assert (await api.client.get("/v1/models", headers=headers)).status_code == 401
    assert [(await call(api, "wrong")).status_code for _ in range(2)] == [401, 429]
