"""The limits of keys: requests and tokens by the minute, requests at once, budgets.

Every request of a key is counted as soon as its key is known; a generation's tokens are reserved once its prompts are
encoded, and settled to the truth when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from starlette.types import Message, Send

from ensue.api.accounting import Ask, Outcome
from ensue.api.budgets import UsageBook, check_budgets
from ensue.api.context import RequestContext
from ensue.api.demands import limit_headers, on_entry, on_start, refusal
from ensue.errors import Overloaded, QuotaExceeded, RateLimited
from ensue.limits.base import Change, Counters, Demand, Measure, Reading, all_fit
from ensue.metrics import Metrics
from ensue.rights import KeyRights

RELEASE_TIMEOUT_S = 1.0  # that a request waits for the ledger to write what the key has used

log = structlog.get_logger("ensue.limits")


class KeyLimits:
    """Counts, and refuses. An `Accountant` for generations; what it can't count it refuses, too."""

    def __init__(
        self, counters: Counters, book: UsageBook, metrics: Metrics, now: Callable[[], float] = time.time
    ) -> None:
        self._counters = counters
        self._book = book
        self._metrics = metrics
        self._now = now
        self._tasks: set[asyncio.Task[Any]] = set()
        self._releases: dict[str, set[asyncio.Task[None]]] = {}  # by key, what waits for the ledger

    async def enter(self, context: RequestContext) -> Visit:
        """Count a request, and let it run until it leaves.

        Raises:
            RateLimited: too many in a minute, or at once.
            Overloaded: what counts does not answer.
        """
        assert context.key is not None
        visit = Visit(self, context.key.id, context.header, has_place=context.key.rights.concurrent is not None)
        demands = on_entry(context.key.rights)
        if demands:
            readings = await self._take(visit.key_id, visit.id, demands)
            context.answer_headers.update(limit_headers(demands, readings))
            self._refuse_unless_fit(demands, readings)
        return visit

    async def reserve(self, ask: Ask) -> TokenHold:
        """Hold back all tokens that a generation may use, but never more than a limit itself.

        Raises:
            RateLimited: they are more than is left, for now.
            QuotaExceeded: they are more than is left of a budget.
            Overloaded: what counts, or the ledger, does not answer.
        """
        if ask.key is None:
            return TokenHold(self, "", ask.request_id, ())
        rights, key_id = ask.key.rights, ask.key.id
        demands = on_start(rights, ask.max_total_tokens)
        hold = TokenHold(self, key_id, ask.request_id, demands)
        if hold.is_empty:
            return hold
        readings = await self._take(key_id, ask.request_id, demands)
        hold.answer_headers = limit_headers(demands, readings)
        self._refuse_unless_fit(demands, readings)
        try:
            for demand, reading in zip(demands, readings, strict=True):
                if demand.measure is Measure.BUDGET:
                    await self._check_budgets(key_id, rights, demand, reading)
        except BaseException:
            await hold.give_back()
            raise
        return hold

    async def give_back(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        """Finished even if cancelled."""
        await asyncio.shield(self._spawn(self._change(key_id, entry_id, changes)))

    def release_when_written(self, key_id: str, entry_id: str, amount: int) -> None:
        """Give back tokens of a budget once the ledger has written what became of them: so they always count."""
        task = self._spawn(self._release(key_id, entry_id, amount))
        releases = self._releases.setdefault(key_id, set())
        releases.add(task)

        def forget(task: asyncio.Task[None]) -> None:
            releases.discard(task)
            if not releases:
                self._releases.pop(key_id, None)

        task.add_done_callback(forget)

    async def close(self) -> None:
        """Let what is being given back be given back, but for what the ledger has not written."""
        for task in [task for tasks in self._releases.values() for task in tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._counters.close()

    async def _release(self, key_id: str, entry_id: str, amount: int) -> None:
        await self._book.settled(entry_id)
        await self._change(key_id, entry_id, [Change(Measure.BUDGET, amount, 0)])

    async def _take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        """Where this is cancelled, what was taken meanwhile is given back."""
        taking = self._spawn(self._counters.take(key_id, entry_id, demands))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._spawn(self._give_back_taken(taking, key_id, entry_id, demands))
            raise
        except Overloaded:
            self._metrics.limit_refused("unknown")
            raise

    async def _give_back_taken(
        self, taking: asyncio.Task[tuple[Reading, ...]], key_id: str, entry_id: str, demands: Sequence[Demand]
    ) -> None:
        with contextlib.suppress(Overloaded):
            if not all_fit(demands, await taking):
                return
            taken = [demand for demand in demands if demand.measure is not Measure.REQUESTS and not demand.is_probe]
            await self._change(key_id, entry_id, [Change(one.measure, one.amount, 0) for one in taken])

    async def _change(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        try:
            await self._counters.change(key_id, entry_id, changes)
        except Overloaded:  # it lapses
            log.warning("limits were not given back")

    async def _check_budgets(self, key_id: str, rights: KeyRights, demand: Demand, reading: Reading) -> None:
        """What has ended is waited for before a budget is said to be held by others: it may be used up."""
        try:
            try:
                await self._compare_budgets(key_id, rights, demand, reading)
            except RateLimited:
                if not (releases := self._releases.get(key_id)):
                    raise
                await asyncio.wait(tuple(releases), timeout=RELEASE_TIMEOUT_S)
                await self._compare_budgets(key_id, rights, demand, reading)
        except (QuotaExceeded, RateLimited):
            self._metrics.limit_refused(Measure.BUDGET)
            raise

    async def _compare_budgets(self, key_id: str, rights: KeyRights, demand: Demand, reading: Reading) -> None:
        """Every request counts once: by what it holds, or by what the ledger has written of it."""
        spent, settled = await self._book.spent(key_id, [entry_id for entry_id, _ in reading.entries])
        held = sum(amount for entry_id, amount in reading.entries if entry_id not in settled)
        check_budgets(rights, spent, held, demand.amount, self._now())

    def _refuse_unless_fit(self, demands: Sequence[Demand], readings: Sequence[Reading]) -> None:
        if all_fit(demands, readings):
            return
        measure, error = refusal(demands, readings)
        self._metrics.limit_refused(measure)
        raise error

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Visit:
    """One request of a key, from its entry until it leaves."""

    def __init__(self, limits: KeyLimits, key_id: str, visit_id: str, *, has_place: bool) -> None:
        self.key_id = key_id
        self.id = visit_id
        self._limits = limits
        self._has_place = has_place

    async def leave(self) -> None:
        """Give the place back, where one is held. Idempotent."""
        if self._has_place:
            self._has_place = False
            await self._limits.give_back(self.key_id, self.id, [Change(Measure.CONCURRENT, 1, 0)])

    def leaving_before_end(self, send: Send) -> Send:
        """Sends, but leaves before the last bytes: who has read them may send the next request."""
        if not self._has_place:
            return send

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await self.leave()
            await send(message)

        return sending


class TokenHold:
    """The tokens that are held back for one generation."""

    def __init__(self, limits: KeyLimits, key_id: str, entry_id: str, demands: Sequence[Demand]) -> None:
        self.answer_headers: dict[str, str] = {}
        self._limits = limits
        self.key_id = key_id
        self.entry_id = entry_id
        self._taken = [demand for demand in demands if not demand.is_probe]

    @property
    def is_empty(self) -> bool:
        return not self._taken

    def headers(self) -> dict[str, str]:
        return self.answer_headers

    async def settle(self, outcome: Outcome) -> None:
        """Of a budget, what was used is held until the ledger holds it against the key."""
        used = outcome.usage.total_tokens
        await self.give_back(used)
        for demand in self._taken:
            if demand.measure is Measure.BUDGET and used:
                self._limits.release_when_written(self.key_id, self.entry_id, min(used, demand.amount))

    async def give_back(self, used: int = 0) -> None:
        """All but what was used; what was used beyond the reservation counts from now on."""
        if self._taken:
            await self._limits.give_back(self.key_id, self.entry_id, [_change(demand, used) for demand in self._taken])


def _change(demand: Demand, used: int) -> Change:
    after = min(used, demand.amount) if demand.measure is Measure.BUDGET else used
    return Change(demand.measure, demand.amount, after)
