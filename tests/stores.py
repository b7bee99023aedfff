"""Which databases the tests of stores run on: SQLite always, the others where `make test-stores` has started them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from ensue.store.db import sqlite_url

POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL")
REDIS_URL = os.environ.get("TEST_REDIS_URL")
BACKENDS = ("sqlite", "postgresql") if POSTGRES_URL else ("sqlite",)


@contextmanager
def empty_database(backend: str, folder: Path) -> Iterator[str]:
    """The URL of a database that holds nothing yet, and is gone after the context."""
    if backend == "sqlite":
        yield sqlite_url(folder / "data" / "ensue.db")
        return
    assert POSTGRES_URL is not None
    name = f"test_{secrets.token_hex(8)}"
    _run(POSTGRES_URL, f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield make_url(POSTGRES_URL).set(database=name).render_as_string(hide_password=False)
    finally:
        _run(POSTGRES_URL, f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
