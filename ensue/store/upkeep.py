"""What is done to a ledger now and then: settle what dead processes left behind, purge what is older than wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from ensue.store import instances
from ensue.store.db import Database
from ensue.store.ledger_rows import day_of, recover
from ensue.store.usage import purge

EVERY_S = 3600.0

log = structlog.get_logger("ensue.store")


class Upkeep:
    """A thread that wakes every hour; close it in any case."""

    def __init__(self, database: Database, retention_days: int | None, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._retention_days = retention_days
        self._now = now
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._keep_up()
            except DBAPIError as error:
                log.warning("the ledger's upkeep failed", error=type(error).__name__)
            self._is_closed.wait(EVERY_S)

    def _keep_up(self) -> None:
        recover(self._database, lambda instance_id: instances.is_alive(self._database, instance_id), int(self._now()))
        if self._retention_days is not None:
            first_kept = day_of(self._now()) - timedelta(days=self._retention_days)
            purge(self._database, first_kept, lambda: not self._is_closed.is_set())
