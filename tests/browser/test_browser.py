"""Chromium against a running server, driven from an environment of its own, made by `make test-browser`."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.product.server import Server, running_server

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PYTHON = ROOT / ".venv-browser" / "bin" / "python"
QUIET = ("--log-level", "error")

pytestmark = pytest.mark.timeout(300)


def run(script: str, server: Server, home: Path, **environ: str) -> None:
    """Its own checks; what it prints is shown where they fail."""
    found = subprocess.run([sys.executable, str(FOLDER / "chromium.py")], capture_output=True, text=True, check=True)
    environ |= {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    environ["CHROMIUM"] = found.stdout.strip()
    command = [str(PYTHON), str(FOLDER / script), server.url]
    result = subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr


def test_docs_let_a_visitor_try_a_completion_within_the_policy(tmp_path: Path) -> None:
    with running_server(tmp_path, *QUIET) as server:
        run("docs.py", server, tmp_path, KEY=server.key)


def test_pages_of_other_origins_and_rebound_names_may_not_use_a_server_without_keys(tmp_path: Path) -> None:
    with running_server(tmp_path, "--no-auth", *QUIET) as server:
        run("foreign.py", server, tmp_path)
        assert "ensue_completion_tokens_total{" not in metrics(server)


def metrics(server: Server) -> str:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        return str(response.read().decode())
