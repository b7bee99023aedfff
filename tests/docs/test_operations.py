"""docs/operations.md: its commands back a database up, and bring it back."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ensue.store.audit import FILE_NAME, AuditLog
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from ensue.store.migrate import upgrade
from tests.stores import BACKENDS, empty_database

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
HEADINGS = {"sqlite": "### SQLite", "postgresql": "### PostgreSQL"}


def commands(backend: str) -> list[str]:
    """Those that back up, and those that restore."""
    part = PAGE.partition(HEADINGS[backend])[2].partition("\n##")[0]
    return re.findall(r"```sh\n(.*?)```", part, re.DOTALL)


def run(script: str, folder: Path, url: str) -> None:
    subprocess.run(["sh", "-ec", script], cwd=folder, env=os.environ | {"ENSUE_DATABASE_URL": url}, check=True)


def names(url: str) -> list[str]:
    database = Database(url)
    assert database.is_current()
    found = [key.name for key in KeyStore(database).all()]
    database.close()
    return found


def make_key(url: str, name: str) -> None:
    database = Database(url)
    upgrade(database)
    KeyStore(database).create(name)
    database.close()


def test_the_audit_log_is_rotated_as_it_says(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / ".data" / FILE_NAME)
    log.append("test")
    (rotate,) = re.findall(r"```sh\n(.*?)```", PAGE.partition("## The audit log")[2].partition("\n##")[0], re.DOTALL)
    run(rotate, tmp_path, "")
    log.append("test")
    assert (log.verify(), len(list(log.path.parent.glob("audit*.jsonl")))) == ((2, 0), 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backup_brings_back_what_was_there(backend: str, tmp_path: Path) -> None:
    back_up, restore = commands(backend)
    AuditLog(tmp_path / ".data" / FILE_NAME).append("test")
    with empty_database(backend, tmp_path) as url:
        if backend == "sqlite":
            url = sqlite_url(tmp_path / ".data" / "ensue.db")
        make_key(url, "before")
        run(back_up, tmp_path, url)
        make_key(url, "after")
        run(restore, tmp_path, url)
        assert names(url) == ["before"]
    if backend == "sqlite":
        assert AuditLog(tmp_path / FILE_NAME).verify() == (1, 0)


def test_a_server_that_has_no_audit_log_yet_is_backed_up(tmp_path: Path) -> None:
    make_key(sqlite_url(tmp_path / ".data" / "ensue.db"), "first")
    run(commands("sqlite")[0], tmp_path, "")
    assert names(sqlite_url(tmp_path / "backup.db")) == ["first"]
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0
