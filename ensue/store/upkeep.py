"""What is done to a ledger now and then: stay alive to others, settle what dead processes left, purge what is old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from ensue.store import instances
from ensue.store.db import Database
from ensue.store.instances import Instance
from ensue.store.ledger_rows import day_of, recover
from ensue.store.usage import purge

EVERY_S = 3600.0
KEEP_EVERY_S = 15.0  # a lock whose connection was dropped is missing for so long

log = structlog.get_logger("ensue.store")


class Upkeep:
    """A thread; close it in any case."""

    def __init__(
        self,
        database: Database,
        instance: Instance,
        retention_days: int | None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._instance = instance
        self._retention_days = retention_days
        self._now = now
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        kept_up_at = float("-inf")
        while not self._is_closed.is_set():
            try:
                self._instance.keep()
                if time.monotonic() - kept_up_at >= EVERY_S:
                    self._keep_up()
                    kept_up_at = time.monotonic()
            except Exception as error:  # it is tried again, whatever it was
                log.warning("the ledger's upkeep failed", error=type(error).__name__)
            self._is_closed.wait(KEEP_EVERY_S)

    def _keep_up(self) -> None:
        recover(self._database, self._is_alive, int(self._now()))
        if self._retention_days is not None:
            first_kept = day_of(self._now()) - timedelta(days=self._retention_days)
            purge(self._database, first_kept, lambda: not self._is_closed.is_set())

    def _is_alive(self, instance_id: str) -> bool:
        """This process is, even while its lock is missing."""
        return instance_id == self._instance.id or instances.is_alive(self._database, instance_id)
