"""Who a request is said to come from."""

from __future__ import annotations

from typing import Any

import pytest

from ensue.api.addresses import client_address

PROXIES = ("10.0.0.0/8", "::1/128")

CASES: list[tuple[str | None, list[str], str | None]] = [
    ("192.0.2.1", [], "192.0.2.1"),
    ("192.0.2.1", ["1.1.1.1"], "192.0.2.1"),  # no proxy of ours: its word does not count
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
    ("10.0.0.1", ["9.9.9.9, 1.1.1.1"], "1.1.1.1"),  # what stands before the first untrusted one may be made up
    ("10.0.0.1", ["9.9.9.9", "1.1.1.1, 10.2.0.1"], "1.1.1.1"),
    ("10.0.0.1", ["10.3.0.1"], "10.3.0.1"),
    ("10.0.0.1", ["1.1.1.1:4711"], "1.1.1.1"),
    ("::1", ["[2001:db8::7]:443"], "2001:db8::7"),
    ("::1", ["2001:db8::7"], "2001:db8::7"),
    ("10.0.0.1", ["1.1.1.1, nonsense"], None),
    ("10.0.0.1", [""], None),
    (None, ["1.1.1.1"], None),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), CASES)
def test_nearest_address_that_is_no_proxy_counts(peer: str | None, forwarded: list[str], expected: str | None) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope: dict[str, Any] = {"type": "http", "client": peer and (peer, 1), "headers": headers}
    assert client_address(scope, PROXIES) == expected


def test_without_trusted_proxies_the_connection_counts() -> None:
    scope: dict[str, Any] = {"type": "http", "client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"1.1.1.1")]}
    assert client_address(scope, ()) == "10.0.0.1"
