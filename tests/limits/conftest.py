"""Places that count: in memory and in files, and in Redis where a test run has one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ensue.limits.base import Counters
from tests.limits.places import PLACES, REDIS_URL, SHARED, Clock, MakeCounters, open_place

collect_ignore = [] if REDIS_URL else ["test_real_redis.py"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def empty_redis() -> None:
    if REDIS_URL is not None:
        from redis.asyncio import Redis

        async with Redis.from_url(REDIS_URL) as redis:
            await redis.flushdb()


@pytest.fixture
async def open_named(tmp_path: Path, clock: Clock, empty_redis: None) -> AsyncIterator[Callable[[str], Counters]]:
    opened: list[Counters] = []

    def make(name: str) -> Counters:
        opened.append(open_place(name, tmp_path, clock))
        return opened[-1]

    yield make
    for counters in opened:
        await counters.close()


@pytest.fixture(params=PLACES)
def counters(request: pytest.FixtureRequest, open_named: Callable[[str], Counters]) -> Counters:
    return open_named(request.param)


@pytest.fixture(params=SHARED)
def make_counters(request: pytest.FixtureRequest, open_named: Callable[[str], Counters]) -> MakeCounters:
    """Opens one shared place, once for each process that is played."""
    return lambda: open_named(request.param)
