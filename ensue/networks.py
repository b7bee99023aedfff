"""Lists of networks in CIDR form, of both families: in one spelling, asked for an address, intersected."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def canonical(networks: Sequence[str]) -> tuple[str, ...]:
    """The same addresses in the fewest networks, in order.

    Raises:
        ValueError: a text that is no network.
    """
    if any("%" in text for text in networks):
        raise ValueError("an address of one interface, which ip_network would take for one of all")
    parsed = [ipaddress.ip_network(text) for text in networks]
    fours = ipaddress.collapse_addresses(network for network in parsed if isinstance(network, ipaddress.IPv4Network))
    sixes = ipaddress.collapse_addresses(network for network in parsed if isinstance(network, ipaddress.IPv6Network))
    return tuple(str(network) for network in (*fours, *sixes))


def is_address(text: str) -> bool:
    """Whether a text is an address of either family."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def holds(networks: Sequence[str], address: str | None) -> bool:
    """Whether one of the networks has the address; an IPv4 address may come in IPv6's form. None is an unknown one."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in ipaddress.ip_network(network) for network in networks)


def intersect(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """The addresses of both lists: two networks are apart, or one holds the other."""
    common = [_smaller(ipaddress.ip_network(a), ipaddress.ip_network(b)) for a in ours for b in theirs]
    return canonical([str(network) for network in common if network is not None])


def _smaller(a: Network, b: Network) -> Network | None:
    """The one that the other holds."""
    if _is_inside(a, b):
        return a
    return b if _is_inside(b, a) else None


def _is_inside(a: Network, b: Network) -> bool:
    if isinstance(a, ipaddress.IPv4Network):
        return isinstance(b, ipaddress.IPv4Network) and a.subnet_of(b)
    return isinstance(b, ipaddress.IPv6Network) and a.subnet_of(b)
