"""Who is alive: this process and others, until they end in whatever way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from ensue.store import instances
from ensue.store.db import Database

HOLD = """
import sys
from ensue.store import instances
from ensue.store.db import Database
instance = instances.enter(Database(sys.argv[1]))
print(instance.id, flush=True)
sys.stdin.read()
"""


def test_a_process_is_alive_until_it_says_otherwise(database: Database) -> None:
    one, two = instances.enter(database), instances.enter(database)
    assert one.id != two.id
    assert instances.is_alive(database, one.id)
    one.keep()
    one.close()
    assert not instances.is_alive(database, one.id)
    assert instances.is_alive(database, two.id)
    two.close()


def test_a_process_that_was_never_there_is_not_alive(database: Database) -> None:
    assert not instances.is_alive(database, "0123456789abcdef")


def test_a_killed_process_is_dead_at_once(database: Database, url: str) -> None:
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        instance_id = process.stdout.readline().strip()
        assert instances.is_alive(database, instance_id)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert not instances.is_alive(database, instance_id)


def test_the_next_process_removes_what_dead_ones_left(sqlite_database: Database, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    left_behind = tmp_path / "data" / "ensue.db-instance-0123456789abcdef"
    left_behind.touch()
    instances.enter(sqlite_database).close()
    assert set(tmp_path.rglob("*")) == before


def test_locks_leave_no_files_behind(database: Database, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    instances.enter(database).close()
    assert set(tmp_path.rglob("*")) == before
