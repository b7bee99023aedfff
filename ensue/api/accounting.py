"""What is held back of a key's limits before a generation, written down, and settled to the truth after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ensue.outputs import Usage
from ensue.store.keys import ApiKey


@dataclass(frozen=True, slots=True)
class Ask:
    """A generation that is about to start."""

    request_id: str
    endpoint: str  # the route's path
    model: str  # canonical name
    key: ApiKey | None  # None where no key is needed
    prompt_tokens: int  # each prompt once
    max_completion_tokens: int  # that all samples may generate; 1,024 a sample at most where no max_tokens is given
    user: str | None = None  # the request's label

    @property
    def max_total_tokens(self) -> int:
        return self.prompt_tokens + self.max_completion_tokens


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a generation ended."""

    usage: Usage
    finish: str  # of the choices, in order and without repetition, joined by commas; or: cancelled, error
    status: int | None  # of the HTTP answer; None where none was begun
    first_token_s: float | None
    elapsed_s: float


class Hold(Protocol):
    """What one accountant holds of one request."""

    def headers(self) -> dict[str, str]:
        """That the answer carries."""
        ...

    async def settle(self, outcome: Outcome) -> None:
        """Called exactly once, whatever happened after `reserve`."""
        ...


class Accountant(Protocol):
    """Limits, or the ledger."""

    async def reserve(self, ask: Ask) -> Hold:
        """
        Raises:
            RequestError: the request may not start.
        """
        ...


class Account:
    """All that is held for one request; what was reserved first is settled last."""

    def __init__(self) -> None:
        self._holds: list[Hold] = []

    async def open(self, ask: Ask, accountants: Sequence[Accountant]) -> None:
        """Reserve with all. Where one refuses, the others' holds stay until `settle`."""
        for accountant in accountants:
            self._holds.append(await accountant.reserve(ask))

    def headers(self) -> dict[str, str]:
        return {name: value for hold in self._holds for name, value in hold.headers().items()}

    async def settle(self, outcome: Outcome) -> None:
        """Settle with all, once."""
        while self._holds:
            await self._holds.pop().settle(outcome)
