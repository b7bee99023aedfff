"""Pins of packages with known advisories are at or above the versions that docs/security.md names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([a-z0-9_.-]+) \| ([0-9.]+) \| .*CVE-", re.MULTILINE)
MINIMA = dict(ROW.findall((ROOT / "docs/security.md").read_text()))
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)$", re.MULTILINE)
PINS = {name.lower(): version for name, version in PIN.findall((ROOT / "constraints.txt").read_text())}


def test_table_is_read() -> None:
    assert {"starlette", "jinja2", "h11"} <= set(MINIMA)


@pytest.mark.parametrize("name", MINIMA)
def test_pin_has_no_known_advisory(name: str) -> None:
    assert Version(PINS[name]) >= Version(MINIMA[name])
