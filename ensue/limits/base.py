"""The words of counting, and what every place that counts can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

WINDOW_S = 60.0  # what was taken by the minute counts for so long
LEASE_S = 30.0  # what a process holds counts for so long after the process was last heard of


class Measure(StrEnum):
    """What is counted of a key."""

    REQUESTS = "requests"  # by the minute
    TOKENS = "tokens"  # by the minute
    CONCURRENT = "concurrent"  # requests that run
    BUDGET = "budget"  # tokens that running requests may use, and that stand in no ledger yet

    @property
    def is_held(self) -> bool:
        """Whether it counts until it is given back, rather than for a minute."""
        return self in (Measure.CONCURRENT, Measure.BUDGET)


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of one measure."""

    measure: Measure
    amount: int
    limit: int | None = None  # None: any amount fits, it is only counted
    is_probe: bool = False  # only look whether it would fit
    lists_entries: bool = False  # tell what the measure is made of, once this is taken


@dataclass(frozen=True, slots=True)
class Reading:
    """How one measure stands after a demand."""

    fits: bool
    used: int
    wait_s: float  # until the amount fits, if nobody else takes any; 0.0 where it does; not known of what is held
    reset_s: float  # until nothing is used
    entries: frozenset[tuple[str, int]] = frozenset()  # ids and amounts, this demand's too, where asked for


@dataclass(frozen=True, slots=True)
class Change:
    """The truth about an amount that was taken before."""

    measure: Measure
    before: int
    after: int  # what is above `before` is charged as of the moment of the change


class Counters(Protocol):
    """A place that counts; every call is atomic, also between processes that share the place."""

    async def take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        """Take all that is demanded, under an id of one's own, or nothing where a demand that is no probe doesn't fit.

        Raises:
            Overloaded: the place does not answer; what was taken is not known.
        """
        ...

    async def change(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        """Say what was really used of what was taken under this id; nothing, for what is given back.

        Raises:
            Overloaded: the place does not answer.
        """
        ...

    async def close(self) -> None: ...


def all_fit(demands: Sequence[Demand], readings: Sequence[Reading]) -> bool:
    """Whether the demands were taken."""
    return all(reading.fits for demand, reading in zip(demands, readings, strict=True) if not demand.is_probe)
