"""What is held back of a key's limits before a generation, written down, and settled to the truth after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from ensue.outputs import Usage
from ensue.store.api_key import ApiKey

log = structlog.get_logger("ensue.api")


@dataclass(frozen=True, slots=True)
class Ask:
    """A generation that is about to start."""

    request_id: str  # as the caller sees it
    endpoint: str  # the route's path
    model: str  # canonical name
    key: ApiKey | None  # None where no key is needed
    prompt_tokens: int  # each prompt once
    max_completion_tokens: int  # that all samples may generate; 1,024 a sample at most where no max_tokens is given
    user: str | None = None  # the request's label
    used: Callable[[], Usage] = Usage  # so far; to be called on the event loop, until the settlement

    @property
    def max_total_tokens(self) -> int:
        return self.prompt_tokens + self.max_completion_tokens


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a generation ended; times in seconds from the request's arrival."""

    usage: Usage
    finish: str  # of the choices, in order and without repetition, joined by commas; or: cancelled, error
    status: int | None  # of the HTTP answer; None where none was begun, as the client was gone
    queue_s: float | None  # how long its samples waited in the engine, at most; None: none came to its first step
    first_token_s: float | None
    elapsed_s: float


class Hold(Protocol):
    """What one accountant holds of one request."""

    def headers(self) -> dict[str, str]:
        """That the answer carries, be it an error; asked for once, after `reserve`."""
        ...

    async def settle(self, outcome: Outcome) -> None:
        """Called exactly once, whatever happened after `reserve`."""
        ...


class Accountant(Protocol):
    """Limits, or the ledger."""

    async def reserve(self, ask: Ask) -> Hold:
        """May be cancelled; where it does not return a hold, it holds nothing.

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
        """Settle with all, once; the fault of one is logged and keeps no other from its settlement."""
        while self._holds:
            try:
                await self._holds.pop().settle(outcome)
            except Exception:
                log.exception("a settlement failed")
