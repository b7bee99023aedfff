"""Addresses to listen on."""

from __future__ import annotations

import socket

from ensue.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket that children may inherit.

    Raises:
        ConfigError: an address that is not ours, or a port that is taken or out of range.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise _cannot_listen(host, port, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # here, so that a port that another server listens on is found before anything starts
    except (OSError, OverflowError) as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    listener.set_inheritable(True)
    return listener


def _cannot_listen(host: str, port: int, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConfigError(f"Cannot listen on {host}:{port}: {reason}.")
