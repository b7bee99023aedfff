"""Rows of a ledger, made and read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, select

from ensue.build.ledger import OpenLedger
from ensue.errors import Overloaded
from ensue.outputs import Usage
from ensue.store import ledger_rows
from ensue.store.db import Database
from ensue.store.ledger_rows import Batch, Reservation, Settlement
from ensue.store.schema import ledger, usage_by_day

USED = Usage(10, 5, 4)
NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())
DAY = 86_400


def reservation(number: int | str, **more: Any) -> Reservation:
    values: dict[str, Any] = {
        "key_id": "key_a",
        "model": "tiny",
        "endpoint": "/v1/completions",
        "user": None,
        "created_at": NOON,
    }
    return Reservation(f"req_{number}", **(values | more))


def settlement(number: int | str, usage: Usage = USED, **more: Any) -> Settlement:
    values: dict[str, Any] = {"finish": "stop", "status": 200, "settled_at": NOON + 9}
    return Settlement(f"req_{number}", usage, **(values | more))


def batch(*changes: Reservation | Settlement, **usages: Usage) -> Batch:
    """Usages by the request's number, as in `r1=Usage(1)`."""
    return Batch(
        {change.id: change for change in changes if isinstance(change, Reservation)},
        {f"req_{name[1:]}": usage for name, usage in usages.items()},
        {change.id: change for change in changes if isinstance(change, Settlement)},
    )


def write(database: Database, batch: Batch, instance_id: str = "one") -> None:
    with database.write() as connection:
        ledger_rows.write(connection, batch, instance_id)


def rows(database: Database) -> dict[str, Row[Any]]:
    with database.read() as connection:
        return {row.id: row for row in connection.execute(select(ledger)).all()}


async def ask(opened: OpenLedger, name: str, accepted: list[str]) -> None:
    """One request, tried until it is let in."""
    number = 0
    while True:
        try:
            await opened.ledger.reserve(reservation(f"{name}_{number}"))
            break
        except Overloaded:
            number += 1
            await asyncio.sleep(0.01)
    opened.ledger.settle(settlement(f"{name}_{number}"))
    accepted.append(f"{name}_{number}")


def assert_sums_are_those_of_the_rows(database: Database) -> None:
    """As long as nothing was purged."""
    names = ("prompt_tokens", "cached_tokens", "completion_tokens")
    settled = [row for row in rows(database).values() if row.settled_at is not None]
    with database.read() as connection:
        columns = [func.coalesce(func.sum(usage_by_day.c[name]), 0) for name in ("requests", *names)]
        sums = connection.execute(select(*columns)).one()
    assert tuple(sums) == (len(settled), *(sum(getattr(row, name) for row in settled) for name in names))
