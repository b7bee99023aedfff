"""Which processes of a server may write a core dump: none, but where that is asked for."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from tests.product.server import Server, running_server

NONE = ({1}, {0})  # bytes, soft and hard alike; 0 where the system forbids them already
CRASH = "import os, resource; from ensue import core_dumps; core_dumps.forbid(); os.abort()"


def limits_of(pid: int) -> set[int]:
    return set(resource.prlimit(pid, resource.RLIMIT_CORE))


def test_no_process_of_a_server_may(server: Server) -> None:
    children = server.child_pids()
    assert children.keys() == {"worker", "api"}
    assert all(limits_of(pid) in NONE for pid in (server.process.pid, *children.values()))


def test_all_may_where_that_is_asked_for(tmp_path: Path) -> None:
    with running_server(tmp_path, "--engine", "fake", "--core-dumps") as server:
        pids = (server.process.pid, *server.child_pids().values())
        assert all(resource.prlimit(pid, resource.RLIMIT_CORE) == own_limits() for pid in pids)


def own_limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_CORE)


def test_a_crash_leaves_none(tmp_path: Path) -> None:
    crashed = subprocess.run([sys.executable, "-c", CRASH], cwd=tmp_path, capture_output=True, check=False)
    assert crashed.returncode == -6
    assert list(tmp_path.iterdir()) == []
