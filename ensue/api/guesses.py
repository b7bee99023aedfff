"""Wrong keys by the address that sent them: guessing is slowed, and never keeps a good key out."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from ensue.errors import Overloaded, RateLimited
from ensue.limits.base import Counters, Demand, Measure, Reading
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics

MAX_SLOWED = 10_000  # networks that are remembered as slowed; those that were told longest ago are forgotten first
NUM_COUNTS = 4096  # networks share these, so that no flood of addresses makes them grow
IPV6_NETWORK_BITS = 64  # what one household has


class Guesses:
    """Counts wrong keys where limits are counted, so that all processes do it together.

    What this process was told of a network it remembers: good keys wait for no count, and neither does a flood.
    """

    def __init__(
        self,
        per_minute: int,
        metrics: Metrics,
        counters: Counters | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_minute = per_minute
        self._metrics = metrics
        self._own = MemoryCounters(clock)  # also while the others don't answer
        self._counters = counters or self._own
        self._clock = clock
        self._slowed: OrderedDict[str, float] = OrderedDict()  # networks, and until when

    def is_slowed(self, address: str | None) -> bool:
        """Whether a wrong key from there would be one too many, as far as this process knows."""
        return self._wait_s(_network_of(address)) > 0

    async def note(self, address: str | None) -> None:
        """A wrong key came from there.

        Raises:
            RateLimited: one too many.
        """
        network = _network_of(address)
        wait_s = self._wait_s(network)
        if wait_s <= 0:
            wait_s = (await self._count(network)).wait_s
            if wait_s <= 0:
                return
            self._remember(network, wait_s)
        self._metrics.limit_refused("wrong_keys")
        raise RateLimited(
            "Rate limit reached: too many incorrect API keys came from this address.",
            retry_after_s=math.ceil(wait_s),
        )

    @property
    def num_slowed(self) -> int:
        """Networks that are remembered."""
        return len(self._slowed)

    async def _count(self, network: str) -> Reading:
        name, demands = _name_of(network), [Demand(Measure.REQUESTS, 1, self._per_minute)]
        entry_id = f"guess_{secrets.token_hex(8)}"
        try:
            (reading,) = await self._counters.take(name, entry_id, demands)
        except Overloaded:
            (reading,) = await self._own.take(name, entry_id, demands)
        return reading

    def _remember(self, network: str, wait_s: float) -> None:
        self._slowed[network] = self._clock() + wait_s
        self._slowed.move_to_end(network)
        if len(self._slowed) > MAX_SLOWED:
            self._slowed.popitem(last=False)

    def _wait_s(self, network: str) -> float:
        return self._slowed.get(network, 0.0) - self._clock()


def _name_of(network: str) -> str:
    """What a network is counted under, as a key is under its id."""
    digest = hashlib.sha256(network.encode()).digest()
    return f"wrong_keys_{int.from_bytes(digest[:8]) % NUM_COUNTS}"


def _network_of(address: str | None) -> str:
    """What counts as one address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:  # a Unix socket
        return ""
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed, IPV6_NETWORK_BITS), strict=False))
