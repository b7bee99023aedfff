"""Sums by key, model and day; what budgets are held against; what a purge leaves."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ensue.outputs import Usage
from ensue.store.db import Database
from ensue.store.keys import KeyStore
from ensue.store.usage import PURGE_CHUNK, Spent, UsageRow, Wanted, purge, spent, usage
from tests.store.ledger_tools import DAY, NOON, USED, batch, reservation, rows, settlement, write

MARCH_10, MARCH_9 = date(2026, 3, 10), date(2026, 3, 9)


def request(database: Database, number: int | str, tokens: Usage = USED, **more: Any) -> None:
    write(database, batch(reservation(number, **more), settlement(number, tokens)))


def summed(database: Database, **wanted: Any) -> list[UsageRow]:
    with database.read() as connection:
        return usage(connection, Wanted(**wanted))


def spent_by(database: Database, key_id: str, now: float = NOON) -> Spent:
    with database.read() as connection:
        return spent(connection, key_id, now)


@pytest.fixture
def filled(database: Database) -> Database:
    request(database, 1)
    request(database, 2, created_at=NOON - DAY)
    request(database, 3, model="large")
    request(database, 4, key_id="key_b")
    request(database, 5, Usage(1, 1), key_id=None)
    write(database, batch(reservation("open"), ropen=Usage(100, 100)))
    return database


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ((), [(None, None, None, 5)]),
        (("day",), [(MARCH_9, None, None, 1), (MARCH_10, None, None, 4)]),
        (("key",), [(None, "", None, 1), (None, "key_a", None, 3), (None, "key_b", None, 1)]),
        (("model",), [(None, None, "large", 1), (None, None, "tiny", 4)]),
        (("model", "key"), [(None, "key_a", "large", 1), (None, "", "tiny", 1), (None, "key_a", "tiny", 2)]),
    ],
)
def test_usage_is_summed_by_what_is_asked(filled: Database, by: Any, expected: list[Any]) -> None:
    found = [(row.day, row.key_id, row.model, row.requests) for row in summed(filled, by=by)]
    assert found[: len(expected)] == expected


def test_a_sum_counts_all_kinds_of_tokens(filled: Database) -> None:
    (row,) = summed(filled, by=())
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.total_tokens) == (41, 16, 21, 62)


@pytest.mark.parametrize(
    ("wanted", "num_requests"),
    [
        ({"first": MARCH_10}, 4),
        ({"last": MARCH_9}, 1),
        ({"first": MARCH_9, "last": MARCH_10}, 5),
        ({"key_id": "key_a"}, 3),
        ({"key_id": ""}, 1),
        ({"model": "large"}, 1),
        ({"model": "none"}, 0),
        ({"first": date(2027, 1, 1)}, 0),
    ],
)
def test_usage_can_be_narrowed(filled: Database, wanted: dict[str, Any], num_requests: int) -> None:
    assert sum(row.requests for row in summed(filled, **wanted)) == num_requests
    assert sum(row.requests for row in summed(filled, by=(), **wanted)) == num_requests


def test_keys_are_named_where_the_database_knows_them(database: Database) -> None:
    store = KeyStore(database)
    key, _ = store.create("team")
    request(database, 1, key_id=key.id)
    request(database, 2, key_id="supplied_file")
    assert {row.key_id: row.key_name for row in summed(database)} == {key.id: "team", "supplied_file": None}
    store.close()


def test_a_key_has_spent_what_its_settled_requests_used(filled: Database) -> None:
    request(filled, 6, created_at=NOON - 20 * DAY)  # in February
    assert spent_by(filled, "key_a") == Spent(in_all=60, this_month=45, this_day=30)
    assert spent_by(filled, "key_a", NOON + DAY) == Spent(60, 45, 0)
    assert spent_by(filled, "key_a", NOON + 40 * DAY) == Spent(60, 0, 0)
    assert spent_by(filled, "unknown") == Spent()


def test_a_purge_deletes_settled_rows_of_earlier_days_and_keeps_the_sums(filled: Database) -> None:
    write(filled, batch(reservation("old", created_at=NOON - 9 * DAY)))
    before, spent_before = summed(filled), spent_by(filled, "key_a")
    assert purge(filled, MARCH_10) == 1
    assert set(rows(filled)) == {"req_1", "req_3", "req_4", "req_5", "req_open", "req_old"}
    assert (summed(filled), spent_by(filled, "key_a")) == (before, spent_before)
    write(filled, batch(settlement("old")))
    assert spent_by(filled, "key_a").in_all == spent_before.in_all + 15


def test_a_large_purge_goes_on_until_all_is_done_or_it_is_told_to_stop(database: Database) -> None:
    count = 2 * PURGE_CHUNK + 5
    write(database, batch(*map(reservation, range(count)), *map(settlement, range(count))))
    assert purge(database, date(2027, 1, 1), go_on=iter([True, False]).__next__) == PURGE_CHUNK
    assert purge(database, date(2027, 1, 1)) == count - PURGE_CHUNK
