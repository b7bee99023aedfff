"""What keys have spent."""

from __future__ import annotations

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
