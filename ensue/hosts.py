"""Which addresses only this machine can reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ensue import networks
from ensue.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_bad_networks(setting: str, given: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: one of them is no network.
    """
    try:
        networks.canonical(given)
    except ValueError as error:
        raise ConfigError(f"{setting} must be addresses or networks such as 10.0.0.0/8: {error}.") from None


def refuse_open_host(host: str) -> None:
    """To be called where no key will be asked for.

    Raises:
        ConfigError: others than this machine could use the server.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"--no-auth needs a loopback address such as 127.0.0.1: on {host} anybody who reaches it could use the "
            "server. Leave --no-auth out, or bind to loopback."
        )
