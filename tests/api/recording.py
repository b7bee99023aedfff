"""An accountant that remembers what it was told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ensue.api.accounting import Ask, Outcome
from ensue.errors import RequestError


@dataclass
class RecordedHold:
    ask: Ask
    more_headers: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        return self.more_headers

    async def settle(self, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        self.outcomes.append(outcome)


@dataclass
class Recorder:
    """Grants what it is not told to refuse."""

    refusal: RequestError | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    holds: list[RecordedHold] = field(default_factory=list)

    async def reserve(self, ask: Ask) -> RecordedHold:
        await asyncio.sleep(self.delay_s)
        if self.refusal is not None:
            raise self.refusal
        self.holds.append(RecordedHold(ask, self.headers))
        return self.holds[-1]

    @property
    def outcome(self) -> Outcome:
        """Of the only request."""
        (hold,) = self.holds
        (outcome,) = hold.outcomes
        return outcome

    @property
    def is_settled(self) -> bool:
        return bool(self.holds) and all(hold.outcomes for hold in self.holds)
