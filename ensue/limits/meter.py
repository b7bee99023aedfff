"""One measure of one key: amounts, each of which counts until its end. Pure; the time is passed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

Entry = tuple[str, float, int]  # id, when it ends, amount


class Meter:
    """Entries in the order of their ends: whatever is added or renewed ends last."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = OrderedDict((entry_id, (ends_at, amount)) for entry_id, ends_at, amount in entries)
        self.used = sum(amount for _, amount in self._entries.values())

    def entries(self) -> list[Entry]:
        return [(entry_id, ends_at, amount) for entry_id, (ends_at, amount) in self._entries.items()]

    def drop_ended(self, now: float) -> None:
        while self._entries:
            entry_id, (ends_at, amount) = next(iter(self._entries.items()))
            if ends_at > now:
                return
            del self._entries[entry_id]
            self.used -= amount

    def add(self, entry_id: str, ends_at: float, amount: int) -> None:
        assert entry_id not in self._entries
        self._entries[entry_id] = (ends_at, amount)
        self.used += amount

    def change(self, entry_id: str, amount: int) -> None:
        """Set the amount of an entry that may have ended; 0 ends it."""
        if entry_id not in self._entries:
            return
        ends_at, before = self._entries[entry_id]
        self.used += amount - before
        if amount:
            self._entries[entry_id] = (ends_at, amount)
        else:
            del self._entries[entry_id]

    def renew(self, entry_id: str, ends_at: float) -> None:
        """Let an entry, if it has not ended, end later than all others."""
        if entry_id in self._entries:
            self._entries[entry_id] = (ends_at, self._entries[entry_id][1])
            self._entries.move_to_end(entry_id)

    def wait_s(self, now: float, amount: int, limit: int) -> float:
        """Until so much fits, if nothing else is added; an amount above the limit fits once nothing is used."""
        surplus = self.used + min(amount, limit) - limit
        if surplus <= 0:
            return 0.0
        for ends_at, ending in self._entries.values():
            surplus -= ending
            if surplus <= 0:
                return ends_at - now
        raise AssertionError("nothing used, and still no room")

    def reset_s(self, now: float) -> float:
        """Until nothing is used."""
        return next(reversed(self._entries.values()))[0] - now if self._entries else 0.0
