"""The places that count, by one clock that a test turns; and what they must say, computed naively."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ensue.limits.base import LEASE_S, WINDOW_S, Change, Counters, Demand, Measure, Reading, all_fit
from ensue.limits.files import FileCounters
from ensue.limits.memory import MemoryCounters

REDIS_URL = os.environ.get("TEST_REDIS_URL")  # set by `make test-stores`
SHARED = ("files", "redis") if REDIS_URL else ("files",)
PLACES = ("memory", *SHARED)
MakeCounters = Callable[[], Counters]


class Clock:
    """Stands still but when a test turns it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def open_place(name: str, folder: Path, clock: Clock) -> Counters:
    """One process's view of a place."""
    if name == "memory":
        return MemoryCounters(clock)
    if name == "files":
        return FileCounters(folder / "limits", clock)
    from ensue.limits.redis_counters import RedisCounters

    assert REDIS_URL is not None
    return RedisCounters(REDIS_URL, clock=clock)


@dataclass
class NaiveCounters:
    """All entries of one key in a list; whatever is asked is summed up anew."""

    clock: Clock
    lease_s: float = LEASE_S
    entries: dict[Measure, list[tuple[float, str, int]]] = field(default_factory=dict)  # end, id, amount

    def take(self, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        before = [self._read(demand) for demand in demands]
        if not all_fit(demands, before):
            return tuple(before)
        for demand in demands:
            if demand.amount and not demand.is_probe:
                self._all(demand.measure).append((self._end(demand.measure), entry_id, demand.amount))
        after = [self._read(demand) for demand in demands]
        lists = [
            frozenset((name, amount) for _, name, amount in self._all(d.measure)) if d.lists_entries else frozenset()
            for d in demands
        ]
        return tuple(
            Reading(was.fits, now.used, was.wait_s, now.reset_s, entries)
            for was, now, entries in zip(before, after, lists, strict=True)
        )

    def change(self, entry_id: str, changes: Sequence[Change]) -> None:
        for change in changes:
            entries = self._all(change.measure)
            if change.after > change.before:
                surplus = change.after - change.before
                entries.append((self._end(change.measure), entry_id + "+", surplus))
            else:
                changed = [(end, name, change.after if name == entry_id else kept) for end, name, kept in entries]
                self.entries[change.measure] = [entry for entry in changed if entry[2]]

    def _all(self, measure: Measure) -> list[tuple[float, str, int]]:
        self.entries[measure] = [entry for entry in self.entries.get(measure, []) if entry[0] > self.clock.now]
        return self.entries[measure]

    def _end(self, measure: Measure) -> float:
        return self.clock.now + (self.lease_s if measure.is_held else WINDOW_S)

    def _read(self, demand: Demand) -> Reading:
        """The wait is found by trying every moment at which something ends."""
        entries = self._all(demand.measure)
        limit = math.inf if demand.limit is None else demand.limit
        wanted = min(demand.amount, limit)

        def used_after(moment: float) -> int:
            return sum(amount for end, _, amount in entries if end > moment)

        used = used_after(self.clock.now)
        fits = not demand.amount or used + demand.amount <= limit
        moments = [self.clock.now, *sorted(end for end, _, _ in entries)]
        wait_s = next(moment for moment in moments if used_after(moment) + wanted <= limit) - self.clock.now
        return Reading(fits, used, 0.0 if fits else wait_s, moments[-1] - self.clock.now)
