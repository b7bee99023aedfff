"""Whom a request comes from, behind proxies that we trust to say so and nobody else's word for it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from ensue import networks

FORWARDED_FOR = "x-forwarded-for"


def client_address(scope: Scope, trusted_proxies: Sequence[str]) -> str | None:
    """The connection's other end; where that is a trusted proxy, the nearest address it names that is none.

    Each proxy adds the address it was called from at the end of X-Forwarded-For, so the list is read from there, and
    what stands before the first untrusted address may be made up.

    Returns:
        None for a connection without an address, such as a Unix socket, and for one that a proxy names wrongly.
    """
    address = scope["client"][0] if scope.get("client") else None
    hops = [hop.strip() for value in Headers(scope=scope).getlist(FORWARDED_FOR) for hop in value.split(",")]
    while address is not None and hops and networks.holds(trusted_proxies, address):
        address = _address_in(hops.pop())
    return address


def _address_in(hop: str) -> str | None:
    """An address of either family, with a port or without."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return hop if networks.is_address(hop) else None
