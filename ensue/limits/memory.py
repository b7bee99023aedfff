"""Counting in the memory of the one process that serves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ensue.limits.base import WINDOW_S, Change, Demand, Reading
from ensue.limits.key_meters import KeyMeters


class MemoryCounters:
    """Counts of one process; what it holds ends with it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: dict[str, KeyMeters] = {}
        self._swept_at = clock()

    async def take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        now = self._clock()
        self._sweep(now)
        return self._meters(key_id).take(now, entry_id, demands)

    async def change(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        self._meters(key_id).change(self._clock(), entry_id, changes)

    async def close(self) -> None:
        self._keys.clear()

    @property
    def num_keys(self) -> int:
        """Keys that something is remembered of."""
        return len(self._keys)

    def _meters(self, key_id: str) -> KeyMeters:
        return self._keys.setdefault(key_id, KeyMeters(lease_s=math.inf))

    def _sweep(self, now: float) -> None:
        """Once a minute, forget the keys that nothing counts of."""
        if now - self._swept_at >= WINDOW_S:
            self._swept_at = now
            self._keys = {key_id: meters for key_id, meters in self._keys.items() if not meters.drop_ended(now)}
