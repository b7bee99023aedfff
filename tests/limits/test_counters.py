"""What all places that count have in common; compared with a naive computation."""

from __future__ import annotations

import asyncio
import fcntl
import math
import random
from pathlib import Path

import pytest

from ensue.errors import Overloaded
from ensue.limits.base import LEASE_S, WINDOW_S, Change, Counters, Demand, Measure, all_fit
from ensue.limits.files import FileCounters
from ensue.limits.memory import MemoryCounters
from tests.limits.places import Clock, MakeCounters, NaiveCounters

ONE_REQUEST = Demand(Measure.REQUESTS, 1, 10)
ONE_PLACE = Demand(Measure.CONCURRENT, 1, 10)


def random_demands(choose: random.Random) -> list[Demand]:
    measures = choose.sample(list(Measure), choose.randint(1, 4))
    return [
        Demand(
            measure,
            choose.choice((0, 1, 3, 20, 45)),
            choose.choice((5, 20, 40, None)),
            is_probe=choose.random() < 0.2,
            lists_entries=choose.random() < 0.3,
        )
        for measure in measures
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_of_calls_counts_as_it_does_naively(counters: Counters, clock: Clock, seed: int) -> None:
    choose = random.Random(seed)
    naive = NaiveCounters(clock, math.inf if isinstance(counters, MemoryCounters) else LEASE_S)
    taken: list[tuple[str, Demand]] = []
    for step in range(250):
        clock.now += choose.choice((0, 0, 1, 7, 31))
        if taken and choose.random() < 0.4:
            entry_id, demand = taken.pop(choose.randrange(len(taken)))
            changes = [Change(demand.measure, demand.amount, choose.choice((0, 1, demand.amount, 2 * demand.amount)))]
            await counters.change("key", entry_id, changes)
            naive.change(entry_id, changes)
            continue
        demands = random_demands(choose)
        readings = await counters.take("key", f"r{step}", demands)
        assert readings == naive.take(f"r{step}", demands)
        if all_fit(demands, readings):
            taken += [(f"r{step}", demand) for demand in demands if demand.amount and not demand.is_probe]


async def test_of_parallel_requests_exactly_as_many_pass_as_the_limit_allows(counters: Counters) -> None:
    takes = (counters.take("key", f"r{i}", [ONE_REQUEST, ONE_PLACE]) for i in range(200))
    readings = await asyncio.gather(*takes)
    assert sum(all(reading.fits for reading in of_one) for of_one in readings) == 10


async def test_what_is_refused_takes_nothing(counters: Counters) -> None:
    readings = await counters.take("key", "a", [ONE_REQUEST, Demand(Measure.TOKENS, 11, 10)])
    assert [reading.fits for reading in readings] == [True, False]
    looks = await counters.take("key", "b", [Demand(m, 0, 10) for m in Measure])
    assert [reading.used for reading in looks] == [0, 0, 0, 0]


async def test_a_minute_slides(counters: Counters, clock: Clock) -> None:
    for i in range(10):
        await counters.take("key", f"r{i}", [ONE_REQUEST])
        clock.now += 1
    (full,) = await counters.take("key", "x", [ONE_REQUEST])
    assert (full.fits, full.used, full.wait_s, full.reset_s) == (False, 10, WINDOW_S - 10, WINDOW_S - 1)
    clock.now += full.wait_s
    assert [(await counters.take("key", f"y{i}", [ONE_REQUEST]))[0].fits for i in range(2)] == [True, False]


async def test_what_was_not_used_is_free_again_and_what_was_used_beyond_is_charged(
    counters: Counters, clock: Clock
) -> None:
    for entry_id, used in (("a", 5), ("b", 40)):
        await counters.take("key", entry_id, [Demand(Measure.TOKENS, 20, 100)])
        await counters.change("key", entry_id, [Change(Measure.TOKENS, 20, used)])
    assert (await counters.take("key", "c", [Demand(Measure.TOKENS, 0, 100)]))[0].used == 45
    clock.now += WINDOW_S
    await counters.change("key", "c", [Change(Measure.TOKENS, 20, 25)])  # its reservation has left the window
    assert (await counters.take("key", "d", [Demand(Measure.TOKENS, 0, 100)]))[0].used == 5


async def test_keys_do_not_see_one_another(counters: Counters) -> None:
    await counters.take("key", "a", [Demand(Measure.REQUESTS, 10, 10)])
    assert (await counters.take("../key", "a", [ONE_REQUEST]))[0].fits


async def test_processes_share_a_place(make_counters: MakeCounters) -> None:
    views = [make_counters() for _ in range(4)]
    takes = (views[i % 4].take("key", f"r{i}", [ONE_REQUEST, ONE_PLACE]) for i in range(200))
    let_in = [i for i, readings in enumerate(await asyncio.gather(*takes)) if all(r.fits for r in readings)]
    assert len(let_in) == 10
    await views[1].change("key", f"r{let_in[0]}", [Change(Measure.CONCURRENT, 1, 0)])
    assert (await views[2].take("key", "s", [ONE_PLACE]))[0].fits


async def test_what_a_dead_process_held_lapses_and_what_a_living_one_holds_does_not(
    make_counters: MakeCounters, clock: Clock
) -> None:
    dead, living = make_counters(), make_counters()
    await dead.take("key", "a", [Demand(Measure.CONCURRENT, 1, 2)])
    await living.take("key", "b", [Demand(Measure.CONCURRENT, 1, 2)])
    clock.now += LEASE_S - 1
    await living.renewal.renew()  # type: ignore[attr-defined]
    clock.now += 2
    assert (await living.take("key", "c", [Demand(Measure.CONCURRENT, 1, 2)]))[0].used == 2
    assert not (await living.take("key", "d", [Demand(Measure.CONCURRENT, 1, 2)]))[0].fits


async def test_a_place_is_given_back_once(make_counters: MakeCounters, clock: Clock) -> None:
    counters = make_counters()
    await counters.take("key", "a", [ONE_PLACE])
    for _ in range(2):
        await counters.change("key", "a", [Change(Measure.CONCURRENT, 1, 0)])
    await counters.renewal.renew()  # type: ignore[attr-defined]
    assert (await counters.take("key", "b", [Demand(Measure.CONCURRENT, 0, 1)]))[0].used == 0


async def test_a_process_that_stands_still_with_a_lock_does_not_stop_the_others(tmp_path: Path) -> None:
    counters = FileCounters(tmp_path / "limits")
    demands = [Demand(Measure.REQUESTS, 1, 10)]
    await counters.take("key", "one", demands)
    (path,) = (tmp_path / "limits").iterdir()
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Overloaded):
            await counters.take("key", "two", demands)
        assert (await counters.take("another", "three", demands))[0].fits
    assert (await counters.take("key", "four", demands))[0].used == 2
    await counters.close()
