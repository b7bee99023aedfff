"""Put on a client's PYTHONPATH: its process reaches loopback addresses only, and an attempt at others is noted.

An audit hook can't be taken off again, and sees every socket of Python's, whichever library opens it.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

REPORT = os.environ["LOOPBACK_REPORT"]
HOST_OF = {"socket.connect": lambda arguments: arguments[1], "socket.getaddrinfo": lambda arguments: arguments}


def refuse_others(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in HOST_OF:
        return
    address = HOST_OF[event](arguments)
    host = address[0] if isinstance(address, tuple) else address  # a text is the path of a Unix socket
    if isinstance(address, tuple) and not is_own(host):
        with open(REPORT, "a") as file:
            file.write(f"{event} {host}\n")
        raise OSError(f"{host} is not on this machine")


def is_own(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


sys.addaudithook(refuse_others)
