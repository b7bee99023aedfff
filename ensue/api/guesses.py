"""Wrong keys by the address that sent them: guessing is slowed, and never keeps a good key out."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from ensue.errors import RateLimited
from ensue.metrics import Metrics

MAX_ADDRESSES = 10_000  # that are remembered; those that failed longest ago are forgotten first
IPV6_NETWORK_BITS = 64  # what one household has


class Guesses:
    """For each address a bucket that a wrong key takes one drop of, and that fills by so many a minute."""

    def __init__(self, per_minute: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = per_minute
        self._drops_per_s = per_minute / 60
        self._metrics = metrics
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # drops left, and when that was so

    def is_slowed(self, address: str | None) -> bool:
        """Whether the next wrong key from there is one too many."""
        return self._drops(_network_of(address)) < 1

    def note(self, address: str | None) -> None:
        """A wrong key came from there.

        Raises:
            RateLimited: one too many.
        """
        network = _network_of(address)
        drops = self._drops(network)
        self._remember(network, drops if drops < 1 else drops - 1)
        if drops < 1:
            self._metrics.limit_refused("wrong_keys")
            raise RateLimited(
                "Rate limit reached: too many incorrect API keys came from this address.",
                retry_after_s=math.ceil((1 - drops) / self._drops_per_s),
            )

    @property
    def num_addresses(self) -> int:
        """Addresses that are remembered."""
        return len(self._buckets)

    def _remember(self, network: str, drops: float) -> None:
        self._buckets[network] = (drops, self._clock())
        self._buckets.move_to_end(network)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def _drops(self, network: str) -> float:
        drops, then = self._buckets.get(network, (float(self._size), 0.0))
        return min(self._size, drops + (self._clock() - then) * self._drops_per_s)


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
