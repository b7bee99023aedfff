"""Counting in Redis, for several servers: one Lua script a call, by the clock of Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ensue.errors import ConfigError, Overloaded
from ensue.limits.base import LEASE_S, WINDOW_S, Change, Demand, Measure, Reading, all_fit
from ensue.limits.renewal import Held, Renewal

TIMEOUT_S = 1.0  # to get a free connection, to connect, to answer
MAX_CONNECTIONS = 64
RETRY_AFTER_S = 5  # what a client is told while Redis doesn't answer
RENEWED_AT_ONCE = 500  # entries a call
_MICRO = 1_000_000


class RedisCounters:
    """Counts of all servers that were given the same Redis."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Connects to nothing yet.

        Args:
            clock: for tests; all servers must go by the same one.

        Raises:
            ConfigError: no URL of a Redis.
        """
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=timeout_s,  # for a free connection
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1),  # for connections that a restart of Redis has closed
            )
        except ValueError:
            raise ConfigError("limits_url must be a URL such as redis://localhost:6379/0.") from None
        self._redis = Redis(connection_pool=pool)
        self._clock = clock
        self._take, self._change, self._renew = (self._script(name) for name in ("take", "change", "renew"))
        self.renewal = Renewal(self._renew_all)

    def _script(self, name: str) -> Any:
        parts = (Path(__file__).with_name(f"{part}.lua").read_text("utf-8") for part in ("common", name))
        return self._redis.register_script("".join(parts))

    async def take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        keys = _keys(key_id, [demand.measure for demand in demands])
        arguments: list[int | str] = [self._now(), entry_id]
        for demand in demands:
            limit = -1 if demand.limit is None else demand.limit
            arguments += [
                _lifetime(demand.measure),
                demand.amount,
                limit,
                int(demand.is_probe),
                int(demand.lists_entries),
            ]
        with _answering():
            found = await self._take(keys, arguments)
        readings = tuple(_reading(*values) for values in found)
        if all_fit(demands, readings):
            self.renewal.taken(key_id, entry_id, demands)
        return readings

    async def change(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        self.renewal.changed(key_id, entry_id, changes)
        arguments: list[int | str] = [self._now(), entry_id]
        for change in changes:
            arguments += [_lifetime(change.measure), change.before, change.after]
        with _answering():
            await self._change(_keys(key_id, [change.measure for change in changes]), arguments)

    async def close(self) -> None:
        await self.renewal.close()
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _renew_all(self, held: Sequence[Held]) -> None:
        for start in range(0, len(held), RENEWED_AT_ONCE):
            some = held[start : start + RENEWED_AT_ONCE]
            keys = [key for one in some for key in _keys(one.key_id, [one.measure])]
            members = [f"{one.entry_id}:{one.amount}" for one in some]
            with _answering():
                await self._renew(keys, [self._now(), round(LEASE_S * _MICRO), *members])

    def _now(self) -> int | str:
        """Microseconds; empty where Redis is to look at its own clock."""
        return "" if self._clock is None else round(self._clock() * _MICRO)


def _keys(key_id: str, measures: Sequence[Measure]) -> list[str]:
    return [f"ensue:limits:{key_id}:{measure}:{part}" for measure in measures for part in ("entries", "used")]


def _reading(fits: int, used: int, wait_us: int, reset_us: int, members: Sequence[bytes]) -> Reading:
    parts = (member.decode().rpartition(":") for member in members)
    entries = frozenset((entry_id, int(amount)) for entry_id, _, amount in parts)
    return Reading(bool(fits), used, wait_us / _MICRO, reset_us / _MICRO, entries)


def _lifetime(measure: Measure) -> int:
    return round((LEASE_S if measure.is_held else WINDOW_S) * _MICRO)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError):
        raise Overloaded("The store of limits does not answer.", retry_after_s=RETRY_AFTER_S) from None
