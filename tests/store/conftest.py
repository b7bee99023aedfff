from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ensue.store.db import Database, sqlite_url
from ensue.store.migrate import upgrade


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "data" / "ensue.db")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    upgrade(database)
    yield database
    database.close()
