"""A process's ledger, opened: dead processes' rows are settled, living ones' are not, old rows go, metrics are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensue.build.ledger import OpenLedger
from ensue.metrics import Metrics
from ensue.store import instances
from ensue.store.db import Database, sqlite_url
from ensue.store.ledger_rows import recover
from ensue.store.migrate import upgrade
from tests.product.server import wait_until
from tests.store.ledger_tools import batch, reservation, rows, settlement, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "ensue.db"))
    upgrade(database)
    yield database
    database.close()


def test_opening_settles_the_rows_of_the_dead_only(database: Database) -> None:
    write(database, batch(reservation(1)), "0123456789abcdef")
    first = OpenLedger(database, None, Metrics())
    asyncio.run(first.ledger.reserve(reservation(2)))
    second = OpenLedger(database, None, Metrics())
    assert {row.id: row.finish for row in rows(database).values()} == {"req_1": "lost", "req_2": None}
    first.ledger.settle(settlement(2))
    for opened in (first, second):
        opened.close()
    assert rows(database)["req_2"].finish == "stop"


def test_a_ledger_that_is_closed_is_dead(database: Database) -> None:
    opened = OpenLedger(database, None, Metrics())
    asyncio.run(opened.ledger.reserve(reservation(1)))
    opened.close()
    assert recover(database, lambda instance_id: instances.is_alive(database, instance_id), 0) == 1


@pytest.mark.parametrize(("days", "is_kept"), [(None, True), (36_500, True), (1, False)])
def test_rows_are_kept_as_long_as_is_set(database: Database, days: int | None, is_kept: bool) -> None:
    write(database, batch(reservation(1, created_at=86_400 * 10_000), settlement(1)))
    opened = OpenLedger(database, days, Metrics())
    assert wait_until(lambda: bool(rows(database)) == is_kept, 30)
    opened.close()
    assert bool(rows(database)) == is_kept


def test_the_metrics_show_what_was_written(database: Database) -> None:
    metrics = Metrics()
    opened = OpenLedger(database, None, metrics)
    asyncio.run(opened.ledger.reserve(reservation(1)))
    for _ in range(2):
        shown = metrics.render()[0].decode()
        assert "ensue_ledger_rows_total 1.0" in shown
        assert "ensue_ledger_failures_total 0.0" in shown
        assert "ensue_ledger_pending 0.0" in shown
    opened.close()
