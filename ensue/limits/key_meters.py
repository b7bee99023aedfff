"""All measures of one key: demands that are met together or not at all. Pure; the time is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ensue.limits.base import WINDOW_S, Change, Demand, Measure, Reading, all_fit
from ensue.limits.meter import Entry, Meter


class KeyMeters:
    """Meters of one key, made as they are needed."""

    def __init__(self, lease_s: float, entries: Mapping[Measure, Sequence[Entry]] | None = None) -> None:
        """
        Args:
            lease_s: how long what is held counts without being renewed.
            entries: of an earlier object.
        """
        self._lease_s = lease_s
        self._meters = {measure: Meter(known) for measure, known in (entries or {}).items()}

    def entries(self) -> dict[Measure, list[Entry]]:
        return {measure: meter.entries() for measure, meter in self._meters.items()}

    def drop_ended(self, now: float) -> bool:
        """Forget what no longer counts; true where nothing is left."""
        for meter in self._meters.values():
            meter.drop_ended(now)
        return not any(meter.used for meter in self._meters.values())

    def take(self, now: float, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        self.drop_ended(now)
        readings = tuple(self._read(now, demand) for demand in demands)
        if not all_fit(demands, readings):
            return readings
        for demand in demands:
            if demand.amount and not demand.is_probe:
                self._meter(demand.measure).add(entry_id, self._end(now, demand.measure), demand.amount)
        return tuple(self._read_taken(now, demand, was) for demand, was in zip(demands, readings, strict=True))

    def change(self, now: float, entry_id: str, changes: Sequence[Change]) -> None:
        self.drop_ended(now)
        for change in changes:
            meter, surplus = self._meter(change.measure), change.after - change.before
            if surplus <= 0:
                meter.change(entry_id, change.after)
            else:
                meter.add(f"{entry_id}+", self._end(now, change.measure), surplus)

    def renew(self, now: float, entry_id: str, measure: Measure) -> None:
        self.drop_ended(now)
        self._meter(measure).renew(entry_id, self._end(now, measure))

    def _read(self, now: float, demand: Demand) -> Reading:
        meter = self._meter(demand.measure)
        fits = not demand.amount or demand.limit is None or meter.used + demand.amount <= demand.limit
        wait_s = 0.0 if fits or demand.limit is None else meter.wait_s(now, demand.amount, demand.limit)
        return Reading(fits, meter.used, wait_s, meter.reset_s(now))

    def _read_taken(self, now: float, demand: Demand, before: Reading) -> Reading:
        meter = self._meter(demand.measure)
        entries = (
            frozenset((name, amount) for name, _, amount in meter.entries()) if demand.lists_entries else frozenset()
        )
        return replace(before, used=meter.used, reset_s=meter.reset_s(now), entries=entries)

    def _meter(self, measure: Measure) -> Meter:
        return self._meters.setdefault(measure, Meter())

    def _end(self, now: float, measure: Measure) -> float:
        return now + (self._lease_s if measure.is_held else WINDOW_S)
