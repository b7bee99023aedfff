"""What only Redis can do wrong; of a real one see test_counters.py and test_real_redis.py."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ensue.errors import ConfigError, Overloaded
from ensue.limits.base import Change, Demand, Measure
from ensue.limits.redis_counters import RedisCounters

ONE = [Demand(Measure.REQUESTS, 1, 2)]


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port"])
def test_what_is_no_url_of_a_redis_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="limits_url"):
        RedisCounters(url)


async def test_where_nobody_listens_it_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    counters = RedisCounters(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(Overloaded) as caught:
        await counters.take("key", "r", ONE)
    assert caught.value.retry_after_s is not None
    with pytest.raises(Overloaded):
        await counters.change("key", "r", [Change(Measure.TOKENS, 2, 1)])
    await counters.close()


async def test_where_nobody_answers_it_is_said_after_a_while_and_the_loop_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        counters = RedisCounters(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.05)
        taking = asyncio.gather(*(counters.take("key", f"r{i}", ONE) for i in range(200)), return_exceptions=True)
        num_turns = 0
        while not taking.done():
            await asyncio.sleep(0)
            num_turns += 1
        assert {type(result) for result in await taking} == {Overloaded}
        assert num_turns > 10
        await counters.close()
