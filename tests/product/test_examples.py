"""Every example runs against a live server and is short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.product.server import Server

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_prints(path: Path, server: Server) -> None:
    environ = os.environ | {"ENSUE_URL": server.url, "ENSUE_API_KEY": server.key}
    result = subprocess.run([sys.executable, str(path)], env=environ, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_at_most_forty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
