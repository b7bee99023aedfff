"""The ledger of one process: what happens to requests is gathered, and written together by one thread.

A reservation waits until its row is committed; everything else is written soon. Where the database fails, reservations
are refused and the rest is tried again until it is written, so what is kept in memory is bounded by the requests that
were running.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, TypeVar

import structlog

from ensue.errors import Overloaded
from ensue.outputs import Usage
from ensue.store.db import Database
from ensue.store.instances import Instance
from ensue.store.ledger_rows import Batch, Reservation, Settlement, write

MAX_WAITING = 10_000  # reservations
MAX_BATCH = 500  # changes of a kind
RESERVE_TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0  # before a failed batch is tried again
CLOSE_S = 5.0  # for what is yet to be written when the process ends

log = structlog.get_logger("ensue.store")
V = TypeVar("V")


@dataclass(slots=True)
class LedgerStats:
    """Counters, and what is yet to be written."""

    num_rows: int = 0  # requests written down
    num_batches: int = 0  # transactions that were committed
    num_failures: int = 0  # and those that failed
    num_pending: int = 0  # changes
    lag_s: float = 0.0  # age of the oldest change, or less


class _Waiting(NamedTuple):
    reservation: Reservation
    written: asyncio.Future[None]


class Ledger:
    """Reserve, follow, settle; close it in any case."""

    def __init__(self, database: Database, instance: Instance, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._instance = instance
        self._now = now
        self._changed = threading.Condition()  # guards all that follows
        self._waiting: dict[str, _Waiting] = {}
        self._changes = Batch()  # without reservations
        self._num_in_hand = 0  # that the thread is writing
        self._unsettled: dict[str, asyncio.Future[None] | None] = {}  # noted, not committed; and who waits for that
        self._stats = LedgerStats()
        self._oldest_at: float | None = None  # of the changes that are yet to be written
        self._pause_s = 0.0  # above zero while the database fails
        self._closes_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    async def reserve(self, reservation: Reservation) -> None:
        """Returns once the row is committed. Where it raises, or is cancelled, nothing is left to settle.

        Raises:
            Overloaded: the database does not answer.
        """
        written = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._pause_s or self._closes_at is not None or len(self._waiting) >= MAX_WAITING:
                raise _no_answer()
            self._waiting[reservation.id] = _Waiting(reservation, written)
            self._note_change()
        try:
            async with asyncio.timeout(RESERVE_TIMEOUT_S):
                await written
        except TimeoutError:
            self._withdraw(reservation)
            raise _no_answer() from None
        except asyncio.CancelledError:
            self._withdraw(reservation)
            raise

    def follow(self, request_id: str, usage: Usage) -> None:
        """Note what a reserved request has used so far."""
        with self._changed:
            if request_id not in self._changes.settlements:
                self._changes.usages[request_id] = usage
                self._note_change()

    def settle(self, settlement: Settlement) -> None:
        """Note how a reserved request has ended."""
        with self._changed:
            self._changes.usages.pop(settlement.id, None)
            self._changes.settlements[settlement.id] = settlement
            self._unsettled[settlement.id] = None
            self._note_change()

    async def settled(self, request_id: str) -> None:
        """Returns once a settlement that was noted is committed, however long that takes. One may wait for it."""
        with self._changed:
            if request_id not in self._unsettled:
                return
            written = self._unsettled[request_id] = asyncio.get_running_loop().create_future()
        await written

    def stats(self) -> LedgerStats:
        with self._changed:
            lag_s = 0.0 if self._oldest_at is None else time.monotonic() - self._oldest_at
            return replace(self._stats, num_pending=self._num_pending, lag_s=lag_s)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Write what is left, unless the database fails for that long. Idempotent."""
        with self._changed:
            if self._closes_at is None:
                self._closes_at = time.monotonic() + timeout_s
                self._changed.notify()
        self._thread.join()
        if self._num_pending:
            log.error(
                "the database failed, and some requests are to be settled at the next start", num=self._num_pending
            )
        self._instance.close()

    # ---- under the lock

    @property
    def _num_pending(self) -> int:
        return self._num_in_hand + len(self._waiting) + len(self._changes.usages) + len(self._changes.settlements)

    def _note_change(self) -> None:
        if self._oldest_at is None:
            self._oldest_at = time.monotonic()
        self._changed.notify()

    def _withdraw(self, reservation: Reservation) -> None:
        """Its row is not written, or it is settled if it is."""
        with self._changed:
            if self._waiting.pop(reservation.id, None) is None:
                self._changes.settlements[reservation.id] = self._void(reservation, "cancelled", None)
                self._note_change()

    def _void(self, reservation: Reservation, finish: str, status: int | None) -> Settlement:
        """Nothing was used."""
        return Settlement(reservation.id, Usage(), finish, status, int(self._now()))

    # ---- in the thread

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            batch, waiting = taken
            is_complete = False  # all that is left to do is to commit
            try:
                if self._pause_s:
                    self._instance.keep()
                with self._database.write() as connection:
                    write(connection, batch, self._instance.id)
                    is_complete = True
            except Exception as error:
                self._put_back(batch, error, is_unsure=is_complete)
                _answer([entry.written for entry in waiting], is_written=False)
            else:
                watchers = self._note_written(batch)
                _answer([entry.written for entry in waiting] + watchers, is_written=True)

    def _take(self) -> tuple[Batch, list[_Waiting]] | None:
        """What to write next; nothing, now and then, where the database fails, to see whether it still does."""
        with self._changed:
            if self._pause_s:
                self._changed.wait_for(self._is_over, self._pause_s)
            else:
                self._changed.wait_for(lambda: self._num_pending or self._closes_at is not None)
            if self._closes_at is not None and (not self._num_pending or time.monotonic() > self._closes_at):
                return None
            waiting = _take_some(self._waiting)
            reservations = {request_id: entry.reservation for request_id, entry in waiting.items()}
            batch = Batch(reservations, _take_some(self._changes.usages), _take_some(self._changes.settlements))
            self._num_in_hand = len(batch.reservations) + len(batch.usages) + len(batch.settlements)
            return batch, [*waiting.values()]

    def _is_over(self) -> bool:
        return self._closes_at is not None and time.monotonic() > self._closes_at

    def _put_back(self, batch: Batch, error: Exception, *, is_unsure: bool) -> None:
        """Keep what must not be lost. Of a commit that failed nobody knows whether the rows are there after all."""
        with self._changed:
            if not self._pause_s:
                log.warning("the ledger cannot be written", error=type(error).__name__)
            self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
            self._stats.num_failures += 1
            self._num_in_hand = 0
            voids = {i: self._void(reservation, "error", 503) for i, reservation in batch.reservations.items()}
            self._changes = Batch(
                usages=batch.usages | self._changes.usages,
                settlements=(voids if is_unsure else {}) | batch.settlements | self._changes.settlements,
            )

    def _note_written(self, batch: Batch) -> list[asyncio.Future[None]]:
        """Returns those to whom it is to be told, beside the batch's reservations."""
        with self._changed:
            if self._pause_s:
                log.info("the ledger can be written again")
            self._pause_s, self._num_in_hand = 0.0, 0
            self._stats.num_rows += len(batch.reservations)
            self._stats.num_batches += 1
            self._oldest_at = time.monotonic() if self._num_pending else None
            watchers = [self._unsettled.pop(request_id, None) for request_id in batch.settlements]
            return [watcher for watcher in watchers if watcher is not None]


def _take_some(changes: dict[str, V]) -> dict[str, V]:
    """The oldest, taken out."""
    taken = dict(islice(changes.items(), MAX_BATCH))
    for request_id in taken:
        del changes[request_id]
    return taken


def _answer(futures: list[asyncio.Future[None]], *, is_written: bool) -> None:
    if futures:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            futures[0].get_loop().call_soon_threadsafe(_resolve, futures, is_written)


def _resolve(futures: list[asyncio.Future[None]], is_written: bool) -> None:
    for future in futures:
        if not future.done() and is_written:
            future.set_result(None)
        elif not future.done():
            future.set_exception(_no_answer())


def _no_answer() -> Overloaded:
    return Overloaded("The database does not answer.", retry_after_s=1)
