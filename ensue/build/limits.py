"""Where the limits of keys are counted."""

from __future__ import annotations

from ensue.api.limits import KeyLimits
from ensue.config import StoreConfig
from ensue.errors import ConfigError
from ensue.limits.base import Counters
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.spending import Spending


def open_limits(config: StoreConfig, database: Database, ledger: Ledger, metrics: Metrics) -> KeyLimits:
    """
    Raises:
        ConfigError: a Redis that can't be asked.
    """
    return KeyLimits(counters_of(config), Spending(database, ledger), metrics)


def counters_of(config: StoreConfig) -> Counters:
    """In memory, or in Redis where the settings name one."""
    if config.limits_url is None:
        return MemoryCounters()
    try:
        from ensue.limits.redis_counters import RedisCounters  # its library is an extra
    except ImportError:
        raise ConfigError("limits_url needs the client of Redis: pip install 'ensue[redis]'.") from None
    return RedisCounters(config.limits_url)
