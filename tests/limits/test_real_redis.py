"""What only a real Redis can show; collected where there is one, as in `make test-stores`."""

from __future__ import annotations

import pytest

from ensue.limits.base import Demand, Measure
from ensue.limits.redis_counters import RedisCounters
from tests.limits.places import REDIS_URL

ONE = [Demand(Measure.REQUESTS, 1, 2)]


@pytest.fixture
def url(empty_redis: None) -> str:
    assert REDIS_URL is not None
    return REDIS_URL


async def test_it_goes_by_the_clock_of_redis(url: str) -> None:
    counters = RedisCounters(url)
    readings = [(await counters.take("key", f"r{i}", ONE))[0] for i in range(3)]
    assert [reading.fits for reading in readings] == [True, True, False]
    assert 55 < readings[2].wait_s <= readings[2].reset_s <= 60
    await counters.close()


async def test_an_answer_that_was_lost_is_asked_for_again_and_counted_once(url: str) -> None:
    counters = RedisCounters(url, clock=lambda: 1000.0)
    for _ in range(2):
        (reading,) = await counters.take("key", "r", ONE)
    assert reading.used == 1
    await counters.close()
