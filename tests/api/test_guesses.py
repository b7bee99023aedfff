"""Guessing keys is slowed; good keys pass from anywhere."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from ensue.api import guesses
from ensue.api.guesses import Guesses
from ensue.config import LimitsConfig
from ensue.errors import RateLimited
from ensue.metrics import Metrics
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, MakeApi
from tests.api.limited import refusal
from tests.limits.places import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def few(clock: Clock) -> Guesses:
    return Guesses(6, Metrics(), clock)


def fail(some: Guesses, address: str | None, count: int = 1) -> int | None:
    """Note wrong keys; how long the last one is to wait."""
    wait_s = None
    for _ in range(count):
        try:
            some.note(address)
        except RateLimited as error:
            wait_s = error.retry_after_s
    return wait_s


def test_so_many_wrong_keys_a_minute_are_one_too_many(few: Guesses, clock: Clock) -> None:
    assert fail(few, "192.0.2.1", 6) is None
    assert few.is_slowed("192.0.2.1")
    assert fail(few, "192.0.2.1", 5) == 10
    clock.now += 10
    assert fail(few, "192.0.2.1") is None
    assert fail(few, "192.0.2.1") == 10
    clock.now += 1e6
    assert fail(few, "192.0.2.1", 6) is None
    assert fail(few, "192.0.2.1") == 10


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
def test_what_counts_as_one_address(few: Guesses, one: str | None, other: str | None, is_same: bool) -> None:
    fail(few, one, 6)
    assert few.is_slowed(other) == is_same


def test_addresses_are_forgotten_those_that_failed_longest_ago_first(
    few: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "MAX_ADDRESSES", 10)
    for last in (1, 2):
        fail(few, f"192.0.2.{last}", 6)
    fail(few, "192.0.2.1")
    for last in range(9):
        fail(few, f"198.51.100.{last}")
    assert few.num_addresses == 10
    assert [few.is_slowed(f"192.0.2.{last}") for last in (1, 2)] == [True, False]


async def call(api: Api, token: str) -> httpx2.Response:
    return await api.client.get("/v1/models", headers={"authorization": f"Bearer {token}"})


async def test_a_flood_of_wrong_keys_is_refused_and_a_good_one_passes(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys, limits=LimitsConfig(max_wrong_keys_per_minute=5))
    _, token = keys.create("k")
    answers = await asyncio.gather(*(call(api, token if i == 50 else f"sk-ensue-{i}") for i in range(100)))
    assert [answer.status_code for answer in answers].count(401) == 5
    assert [answer.status_code for answer in answers].count(429) == 94
    assert answers[50].status_code == 200
    assert refusal(answers[-1]) == (429, "rate_limit_error", "rate_limit_exceeded", "12")
    assert (await call(api, token)).status_code == 200


async def test_a_missing_or_malformed_key_is_no_guess(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys, limits=LimitsConfig(max_wrong_keys_per_minute=1))
    for headers in ({}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}) * 2:
        assert (await api.client.get("/v1/models", headers=headers)).status_code == 401
    assert [(await call(api, "wrong")).status_code for _ in range(2)] == [401, 429]
