"""Empty and current databases; each test that takes one runs on every backend there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ensue.store.db import Database, sqlite_url
from ensue.store.migrate import upgrade
from tests.stores import BACKENDS, POSTGRES_URL, empty_database

collect_ignore = [] if POSTGRES_URL else ["test_real_postgres.py", "test_postgres_crashes.py"]


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    yield from _current(url)


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """For what only SQLite has."""
    yield from _current(sqlite_url(tmp_path / "data" / "ensue.db"))


def _current(url: str) -> Iterator[Database]:
    database = Database(url)
    upgrade(database)
    yield database
    database.close()
