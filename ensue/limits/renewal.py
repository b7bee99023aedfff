"""Leases: what a process holds in a shared place is renewed while the process lives, and lapses with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from ensue.errors import Overloaded
from ensue.limits.base import LEASE_S, Change, Demand, Measure

RENEW_EVERY_S = LEASE_S / 3

log = structlog.get_logger("ensue.limits")


@dataclass(frozen=True, slots=True)
class Held:
    """One entry that has to be renewed."""

    key_id: str
    entry_id: str
    measure: Measure
    amount: int


class Renewal:
    """Knows what this process holds, and renews it from its first hold to `close`."""

    def __init__(self, renew: Callable[[Sequence[Held]], Awaitable[None]]) -> None:
        self._renew = renew
        self._held: set[Held] = set()
        self._task: asyncio.Task[None] | None = None

    def taken(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> None:
        """Note what was taken."""
        for demand in demands:
            if demand.measure.is_held and demand.amount and not demand.is_probe:
                self._held.add(Held(key_id, entry_id, demand.measure, demand.amount))
        if self._held and self._task is None:
            self._task = asyncio.create_task(self._run())

    def changed(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        """Note what is given back; to be called before it is."""
        for change in changes:
            held = Held(key_id, entry_id, change.measure, change.before)
            if held in self._held:
                self._held.remove(held)
                if change.after:
                    self._held.add(replace(held, amount=change.after))

    async def renew(self) -> None:
        """Once; a place that doesn't answer is asked again the next time."""
        try:
            if self._held:
                await self._renew(tuple(self._held))
        except Overloaded:
            log.warning("limits were not renewed", num_held=len(self._held))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            await self.renew()
