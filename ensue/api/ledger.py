"""The accountant that writes every generation down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from ensue.api.accounting import Ask, Outcome
from ensue.outputs import Usage
from ensue.store.ledger import Ledger
from ensue.store.ledger_rows import Reservation, Settlement

FOLLOW_S = 1.0  # how often what running requests have used is written down, in case the process is killed
SETTLE_S = 1.0  # that the end of an answer waits for its settlement at most: a database that fails keeps none back


class LedgerAccountant:
    """Reserves a row, follows the request while it runs, and settles the row."""

    def __init__(self, ledger: Ledger, *, follow_s: float = FOLLOW_S, now: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._follow_s = follow_s
        self._now = now
        self._running: dict[str, Ask] = {}  # by request id
        self._followed: dict[str, Usage] = {}  # what was told of them last
        self._is_following = False

    async def reserve(self, ask: Ask) -> LedgerHold:
        """
        Raises:
            Overloaded: the database does not answer.
        """
        await self._ledger.reserve(
            Reservation(
                id=ask.request_id,
                key_id=None if ask.key is None else ask.key.id,
                model=ask.model,
                endpoint=ask.endpoint,
                user=ask.user,
                created_at=int(self._now()),
                key_name=None if ask.key is None or not ask.key.is_outside else ask.key.name,
            )
        )
        self._running[ask.request_id] = ask
        if not self._is_following:
            self._follow_later()
        return LedgerHold(self, ask.request_id)

    async def settle(self, request_id: str, outcome: Outcome) -> None:
        """Returns once it is committed, so that what a client saw to its end stays settled whoever is killed."""
        del self._running[request_id]
        self._followed.pop(request_id, None)
        self._ledger.settle(
            Settlement(
                id=request_id,
                usage=outcome.usage,
                finish=outcome.finish,
                status=outcome.status,
                settled_at=int(self._now()),
                queue_s=outcome.queue_s,
                first_token_s=outcome.first_token_s,
                total_s=outcome.elapsed_s,
            )
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._ledger.settled(request_id)

    def _follow_later(self) -> None:
        self._is_following = True
        asyncio.get_running_loop().call_later(self._follow_s, self._follow)

    def _follow(self) -> None:
        self._is_following = False
        for request_id, ask in self._running.items():
            used = ask.used()
            if used != self._followed.get(request_id, Usage()):
                self._followed[request_id] = used
                self._ledger.follow(request_id, used)
        if self._running:
            self._follow_later()


class LedgerHold:
    """One row."""

    def __init__(self, accountant: LedgerAccountant, request_id: str) -> None:
        self._accountant = accountant
        self._request_id = request_id

    def headers(self) -> dict[str, str]:
        return {}

    async def settle(self, outcome: Outcome) -> None:
        await self._accountant.settle(self._request_id, outcome)
