"""Single requests: which are wanted, page by page, and how they look."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import pytest

from ensue.errors import InvalidRequest, Overloaded
from ensue.store.db import Database
from ensue.store.keys import KeyStore
from ensue.store.ledger_rows import Settlement
from ensue.store.usage_rows import COLUMNS, RowsWanted, parse_rows_wanted, read_rows, rows_as_csv
from tests.store.ledger_tools import DAY, NOON, USED, batch, reservation, settlement, write


@pytest.fixture
def filled(database: Database) -> Database:
    """Five requests a day apart, but for the last two, which came in the same second."""
    asked = [reservation(n, created_at=NOON + DAY * min(n, 3), user=f"u{n % 2}") for n in range(5)]
    asked += [reservation("other", key_id="key_b", model="big"), reservation("none", key_id=None)]
    ended = Settlement("req_0", USED, "stop", 200, NOON + 2, 0.125, 0.25, 1.5)
    write(database, batch(*asked, ended, *(settlement(n) for n in (1, 2, 3))))
    return database


def ids(database: Database, wanted: RowsWanted) -> list[Any]:
    return [row["id"] for row in read_rows(database, wanted)]


def test_the_newest_come_first_and_ties_have_an_order(filled: Database) -> None:
    assert ids(filled, RowsWanted(key_id="key_a")) == ["req_4", "req_3", "req_2", "req_1", "req_0"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_make_up_the_whole(filled: Database, limit: int) -> None:
    whole, pages = ids(filled, RowsWanted()), list[Any]()
    while page := ids(filled, RowsWanted(before=pages[-1] if pages else None, limit=limit)):
        pages += page
    assert pages == whole
    assert len(whole) == 7


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"key": "key_b"}, ["req_other"]),
        ({"key": ""}, ["req_none"]),
        ({"model": "big"}, ["req_other"]),
        ({"key": "key_a", "user": "u1"}, ["req_3", "req_1"]),
        ({"key": "key_a", "from": "2026-03-11", "to": "2026-03-12"}, ["req_2", "req_1"]),
        ({"key": "key_a", "from": "2026-03-12T12:00Z"}, ["req_4", "req_3", "req_2"]),
        ({"key": "key_a", "to": "2026-03-11T13:00+01:00"}, ["req_0"]),
        ({"key": "key_a", "from": "2026-03-10T12:00:01"}, ["req_4", "req_3", "req_2", "req_1"]),
        ({"key": "' OR 1=1 --"}, []),
    ],
)
def test_requests_can_be_narrowed(filled: Database, wanted: dict[str, str], expected: list[str]) -> None:
    assert ids(filled, parse_rows_wanted(wanted)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("from", "soon"), ("to", "2026-13-01"), ("from", "9999-99-99"), ("to", ""), ("user", "a\0"), ("before", "\n")],
)
def test_what_cannot_be_asked_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_rows_wanted({name: value})
    assert caught.value.param == name


def test_a_request_says_all_that_is_known_of_it(filled: Database) -> None:
    (row,) = read_rows(filled, parse_rows_wanted({"to": "2026-03-10", "key": "key_a"}))
    assert tuple(row) == COLUMNS
    assert row == {
        "id": "req_0",
        "created_at": NOON,
        "key_id": "key_a",
        "key_name": None,
        "endpoint": "/v1/completions",
        "model": "tiny",
        "user": "u0",
        "prompt_tokens": USED.prompt_tokens,
        "cached_tokens": USED.cached_tokens,
        "completion_tokens": USED.completion_tokens,
        "finish": "stop",
        "status": 200,
        "queue_s": 0.125,
        "first_token_s": 0.25,
        "total_s": 1.5,
        "settled_at": NOON + 2,
    }


def test_keys_of_the_database_and_of_elsewhere_are_named(database: Database) -> None:
    keys = KeyStore(database)
    key, _ = keys.create("team")
    keys.close()
    for _ in range(2):
        write(database, batch(reservation(1, key_id=key.id), reservation(2, key_id="jwt_1", key_name="ann@example")))
    assert {row["key_name"] for row in read_rows(database, RowsWanted())} == {"team", "ann@example"}


def test_no_label_is_a_formula(filled: Database) -> None:
    write(filled, batch(reservation("formula", user='=HYPERLINK("x")')))
    table = list(csv.DictReader(StringIO(rows_as_csv(read_rows(filled, RowsWanted())))))
    assert {row["user"] for row in table} == {"", "u0", "u1", '\'=HYPERLINK("x")'}


def test_a_page_after_nothing_is_refused_and_a_database_that_fails_is_an_overload(filled: Database) -> None:
    with pytest.raises(InvalidRequest, match="before must be"):
        read_rows(filled, RowsWanted(before="req_x"))
    with filled.write() as connection:
        connection.exec_driver_sql("DROP TABLE ledger")
    with pytest.raises(Overloaded):
        read_rows(filled, RowsWanted())
