"""What keys have spent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from ensue.errors import Overloaded
from ensue.outputs import Usage
from ensue.store import instances
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.spending import Spending
from ensue.store.usage import Spent
from tests.store.ledger_tools import DAY, NOON, reservation, settlement


async def test_what_was_settled_is_spent_once_it_is_waited_for(database: Database) -> None:
    ledger = Ledger(database, instances.enter(database))
    spending = Spending(database, ledger, now=lambda: NOON + DAY)
    for number, created_at in ((1, NOON), (2, NOON + DAY), (3, NOON + DAY)):
        await ledger.reserve(reservation(number, created_at=created_at))
    for number in (1, 2):
        ledger.settle(settlement(number, Usage(10, 5)))
        await spending.settled(f"req_{number}")
    ids = ["req_2", "req_3", "req_4"]
    sums = Spent(in_all=30, this_month=30, this_day=15)
    assert await spending.spent("key_a", ids) == (sums, frozenset(["req_2"]))
    assert await spending.spent("key_b") == (Spent(), frozenset())
    ledger.close()


async def test_a_database_that_fails_is_said_to(database: Database) -> None:
    ledger = Ledger(database, instances.enter(database))
    with database.write() as connection:
        connection.execute(text("ALTER TABLE usage_by_day RENAME TO elsewhere"))
    with pytest.raises(Overloaded):
        await Spending(database, ledger).spent("key_a")
    ledger.close()


async def test_what_is_asked_during_one_reading_is_answered_by_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, readings = Ledger(database, instances.enter(database)), list[int]()
    spending = Spending(database, ledger, now=lambda: NOON)
    read = spending._read

    def counted(questions: Any) -> Any:
        readings.append(len(questions))
        return read(questions)

    monkeypatch.setattr(spending, "_read", counted)
    await ledger.reserve(reservation(1, created_at=NOON))
    ledger.settle(settlement(1, Usage(10, 5)))
    await spending.settled("req_1")
    asking = [asyncio.create_task(spending.spent(f"key_{name}", [f"req_{i}" for i in range(9)])) for name in "abba"]
    asking[1].cancel()
    mine, cancelled, others, again = await asyncio.gather(*asking, return_exceptions=True)
    assert mine == again == (Spent(15, 15, 15), frozenset(["req_1"]))
    assert others == (Spent(), frozenset(["req_1"]))
    assert isinstance(cancelled, asyncio.CancelledError)
    await spending.spent("key_a")
    assert readings == [3, 1]
    ledger.close()
