"""Where the limits of keys are counted."""

from __future__ import annotations

from pathlib import Path

from ensue.api.limits import KeyLimits
from ensue.child import ProcessSettings
from ensue.errors import ConfigError
from ensue.limits.base import Counters
from ensue.limits.files import FileCounters
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.spending import Spending


def open_limits(counters: Counters, database: Database, ledger: Ledger, metrics: Metrics) -> KeyLimits:
    return KeyLimits(counters, Spending(database, ledger), metrics)


def counters_of(settings: ProcessSettings) -> Counters:
    """In Redis where the settings name one; else in files that several API processes share, or in the memory of one.

    Raises:
        ConfigError: a Redis that can't be asked.
    """
    config = settings.config
    if config.store.limits_url is not None:
        return _redis_counters(config.store.limits_url)
    if config.server.api_workers > 1:
        return FileCounters(Path(settings.socket_path).parent / "limits")
    return MemoryCounters()


def _redis_counters(url: str) -> Counters:
    try:
        from ensue.limits.redis_counters import RedisCounters  # its library is an extra
    except ImportError:
        raise ConfigError("limits_url needs the client of Redis: pip install 'ensue[redis]'.") from None
    return RedisCounters(url)
