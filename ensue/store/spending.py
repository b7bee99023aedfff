"""What keys have spent, read from the ledger's sums off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from ensue.errors import Overloaded
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.usage import Spent, spent


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

    async def spent(self, key_id: str) -> Spent:
        """By requests that have ended.

        Raises:
            Overloaded: the database does not answer.
        """
        return await asyncio.to_thread(self._read, key_id)

    async def settled(self, request_id: str) -> None:
        """Returns once what a request of this process has used is part of the sums."""
        await self._ledger.settled(request_id)

    def _read(self, key_id: str) -> Spent:
        try:
            with self._database.read() as connection:
                return spent(connection, key_id, self._now())
        except DBAPIError:
            raise Overloaded("The ledger does not answer.", retry_after_s=1) from None
