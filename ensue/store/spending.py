"""What keys have spent, read from the ledger's sums off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from sqlalchemy.exc import DBAPIError

from ensue.errors import Overloaded
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.usage import Spent, settled_of, spent


class Spending:
    """Reads what the ledgers of all processes have written."""

    def __init__(self, database: Database, ledger: Ledger, now: Callable[[], float] = time.time) -> None:
        """
        Args:
            ledger: of this process.
        """
        self._database = database
        self._ledger = ledger
        self._now = now

    async def spent(self, key_id: str, request_ids: Collection[str] = ()) -> tuple[Spent, frozenset[str]]:
        """What a key's settled requests have used, and which of these requests are among them, at one moment.

        Raises:
            Overloaded: the database does not answer.
        """
        return await asyncio.to_thread(self._read, key_id, tuple(request_ids))

    async def settled(self, request_id: str) -> None:
        """Returns once what a request of this process has used is part of the sums."""
        await self._ledger.settled(request_id)

    def _read(self, key_id: str, request_ids: Sequence[str]) -> tuple[Spent, frozenset[str]]:
        try:
            with self._database.read() as connection:
                settled = settled_of(connection, request_ids)
                return spent(connection, key_id, self._now()), settled
        except DBAPIError:
            raise Overloaded("The ledger does not answer.", retry_after_s=1) from None
