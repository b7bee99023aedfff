"""The ledger of an API process, with what keeps it in order and shows it."""

from __future__ import annotations

import time

from ensue.metrics import Metrics
from ensue.store import instances
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.ledger_rows import recover
from ensue.store.upkeep import Upkeep


class OpenLedger:
    """What dead processes left behind is settled first; close it in any case."""

    def __init__(self, database: Database, retention_days: int | None, metrics: Metrics) -> None:
        self._database = database
        instance = instances.enter(database)
        recover(database, self._is_alive, int(time.time()))
        self.ledger = Ledger(database, instance)
        self._upkeep = Upkeep(database, instance, retention_days)
        self._metrics = metrics
        metrics.add_source(self._observe)

    def close(self) -> None:
        self._upkeep.close()
        self.ledger.close()

    def _is_alive(self, instance_id: str) -> bool:
        return instances.is_alive(self._database, instance_id)

    def _observe(self) -> None:
        stats = self.ledger.stats()
        totals = {
            "ledger_rows_total": stats.num_rows,
            "ledger_batches_total": stats.num_batches,
            "ledger_failures_total": stats.num_failures,
        }
        self._metrics.observe_ledger(totals, num_pending=stats.num_pending, lag_s=stats.lag_s)
