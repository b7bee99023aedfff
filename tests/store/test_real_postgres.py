"""What only a real PostgreSQL can show: connections that are dropped. Collected where there is one, as in
`make test-stores`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ensue.build.ledger import OpenLedger
from ensue.metrics import Metrics
from ensue.store import instances, upkeep
from ensue.store.db import Database
from ensue.store.keys import KeyStore
from tests.product.server import wait_until
from tests.store.faulty import failure
from tests.store.ledger_tools import ask, assert_sums_are_those_of_the_rows, reservation, rows
from tests.stores import empty_database

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
LOCKERS = "(SELECT pid FROM pg_locks WHERE locktype = 'advisory')"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def outsider(url: str) -> Iterator[Database]:
    """A database object whose connections do the dropping."""
    outsider = Database(url)
    yield outsider
    outsider.close()


def drop(outsider: Database, condition: str = "true") -> int:
    """End the others' sessions, wait until they are gone, and return their number."""
    with outsider.session() as connection:
        query = f"SELECT count(pg_terminate_backend(pid, 30000)) {OTHERS} AND {condition}"
        return int(connection.execute(text(query)).scalar_one())


def test_a_lock_whose_connection_was_dropped_is_taken_again(database: Database, outsider: Database) -> None:
    instance = instances.enter(database)
    assert drop(outsider, f"pid IN {LOCKERS}") == 1
    assert not instances.is_alive(outsider, instance.id)
    instance.keep()
    assert instances.is_alive(outsider, instance.id)
    instance.close()
    assert wait_until(lambda: not instances.is_alive(outsider, instance.id), 30)


def test_a_lock_that_another_session_holds_for_a_moment_is_taken_later(database: Database, outsider: Database) -> None:
    instance = instances.enter(database)
    assert drop(outsider, f"pid IN {LOCKERS}") == 1
    with outsider.session() as connection:
        assert instances._try_lock(connection, instances._number(instance.id))
        instance.keep()
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    assert not instances.is_alive(outsider, instance.id)
    instance.keep()
    assert instances.is_alive(outsider, instance.id)
    instance.close()


def test_a_lock_is_taken_again_once_the_database_answers_again(
    database: Database, outsider: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = instances.enter(database)
    assert drop(outsider, f"pid IN {LOCKERS}") == 1
    with monkeypatch.context() as patched:
        patched.setattr(database, "session", fail)
        for _ in range(3):
            with pytest.raises(DBAPIError):
                instance.keep()
    instance.keep()
    assert instances.is_alive(outsider, instance.id)
    instance.close()
    instance.close()


def fail() -> NoReturn:
    raise failure()


def test_an_open_ledger_stays_alive_and_its_rows_open(
    database: Database, outsider: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "KEEP_EVERY_S", 0.01)
    opened = OpenLedger(database, None, Metrics())
    asyncio.run(opened.ledger.reserve(reservation(1)))
    (row,) = rows(outsider).values()
    assert drop(outsider, f"pid IN {LOCKERS}") == 1
    assert wait_until(lambda: instances.is_alive(outsider, row.instance_id), 30)
    OpenLedger(outsider, None, Metrics()).close()
    assert rows(outsider)["req_1"].settled_at is None
    opened.close()


async def test_whenever_connections_are_dropped_each_row_is_there_once(database: Database, outsider: Database) -> None:
    opened, accepted = OpenLedger(database, None, Metrics()), list[str]()

    for round_ in range(5):
        names = [f"{round_}_{number}" for number in range(30)]
        asking = [asyncio.create_task(ask(opened, name, accepted)) for name in names]
        await asyncio.to_thread(drop, outsider)
        await asyncio.gather(*asking)
    await asyncio.to_thread(opened.close)
    found = rows(outsider)
    assert {row.id for row in found.values() if row.finish == "stop"} == {f"req_{name}" for name in accepted}
    assert all((row.finish, row.completion_tokens) in (("stop", 5), ("error", 0)) for row in found.values())
    assert_sums_are_those_of_the_rows(outsider)


async def test_a_key_is_looked_up_over_a_connection_that_was_dropped(database: Database, outsider: Database) -> None:
    keys = KeyStore(database)
    _, token = keys.create("mine")
    assert drop(outsider) > 0
    assert (await keys.authenticate(token)).name == "mine"
    keys.close()
