"""Generations in the ledger: a row each, followed while it runs."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import text

from ensue.api.ledger import LedgerAccountant
from ensue.engine.fake import FakeEngine
from ensue.store import instances
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from ensue.store.ledger import Ledger
from ensue.store.usage_rows import RowsWanted, read_rows
from tests.api.conftest import MakeApi, ServeApp
from tests.api.test_server import request, until
from tests.store.faulty import Fault, FaultyDatabase
from tests.store.ledger_tools import assert_sums_are_those_of_the_rows, rows

Says = Callable[..., FakeEngine]


@pytest.fixture
def database(keys: KeyStore) -> Database:
    return keys._database


@pytest.fixture
async def book(database: Database) -> AsyncIterator[Ledger]:
    book = Ledger(database, instances.enter(database))
    yield book
    book.close()


def only(database: Database) -> Any:
    (row,) = rows(database).values()
    return row


@pytest.mark.parametrize("stream", [False, True])
async def test_a_generation_is_a_row(
    make_api: MakeApi, book: Ledger, database: Database, keys: KeyStore, stream: bool
) -> None:
    key, token = keys.create("mine")
    api = make_api(keys=keys, accountants=[LedgerAccountant(book)])
    body = {"prompt": [[7, 8]], "max_tokens": 3, "user": "me", "stream": stream}
    answer = await api.client.post("/v1/completions", json=body, headers={"authorization": f"Bearer {token}"})
    book.close()
    row = only(database)
    assert (row.id, row.key_id, row.user_label) == (answer.headers["x-request-id"], key.id, "me")
    assert (row.prompt_tokens, row.completion_tokens, row.finish, row.status) == (2, 3, "length", 200)
    assert row.queue_s is not None
    assert 0 < row.first_token_s < row.total_s
    assert row.created_at <= row.settled_at
    assert_sums_are_those_of_the_rows(database)


async def test_a_key_of_elsewhere_is_named(make_api: MakeApi, book: Ledger, database: Database, keys: KeyStore) -> None:
    keys.add_secret("a-secret-of-elsewhere", "file")
    api = make_api(keys=keys, accountants=[LedgerAccountant(book)])
    headers = {"authorization": "Bearer a-secret-of-elsewhere"}
    assert (await api.client.post("/v1/completions", json={"prompt": "x"}, headers=headers)).status_code == 200
    (row,) = read_rows(database, RowsWanted())
    assert (row["key_id"], row["key_name"]) == ("supplied_file", "file")


async def test_a_row_is_there_before_the_engine_is_asked(
    make_api: MakeApi, says: Says, book: Ledger, database: Database
) -> None:
    found = []

    class Watching(FakeEngine):
        async def generate(self, request: Any) -> Any:
            found.append(only(database).settled_at)
            return await super().generate(request)

    await make_api(Watching(), accountants=[LedgerAccountant(book)]).complete({"max_tokens": 1})
    assert found == [None]


async def test_what_a_running_request_has_used_is_written_down(
    served: ServeApp, says: Says, book: Ledger, database: Database
) -> None:
    engine = says(" a", step_s=0.005)
    async with served(engine, accountants=[LedgerAccountant(book, follow_s=0.02)]) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": True, "max_tokens": 900, "prompt": [[7, 8]]}))
        await until(lambda: any(row.completion_tokens > 5 for row in rows(database).values()))
        row = only(database)
        assert (row.prompt_tokens, row.settled_at) == (2, None)
        writer.close()
        await until(lambda: only(database).settled_at is not None)
    assert only(database).finish == "cancelled"
    assert only(database).completion_tokens >= row.completion_tokens
    assert_sums_are_those_of_the_rows(database)


@pytest.fixture
async def faulty(database: Database) -> AsyncIterator[FaultyDatabase]:
    assert database.path is not None
    faulty = FaultyDatabase(sqlite_url(database.path))
    yield faulty
    faulty.close()


@pytest.fixture
async def faulty_book(faulty: FaultyDatabase) -> AsyncIterator[Ledger]:
    book = Ledger(faulty, instances.enter(faulty))
    yield book
    faulty.next_fault = lambda: "none"
    book.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_ends_when_its_settlement_is_committed(
    make_api: MakeApi, faulty: FaultyDatabase, faulty_book: Ledger, database: Database, stream: bool
) -> None:
    numbers, is_held, go_on = itertools.count(), threading.Event(), threading.Event()

    def hold_up_second() -> Fault:
        if next(numbers) == 1:
            is_held.set()
            go_on.wait(30)
        return "none"

    faulty.next_fault = hold_up_second
    api = make_api(accountants=[LedgerAccountant(faulty_book)])
    asking = asyncio.create_task(api.client.post("/v1/completions", json={"prompt": "x", "stream": stream}))
    await until(is_held.is_set)
    await asyncio.wait([asking], timeout=0.05)
    assert not asking.done()
    go_on.set()
    assert (await asking).status_code == 200
    assert only(database).finish == "length"


async def test_an_answer_does_not_wait_for_a_database_that_fails(
    make_api: MakeApi, faulty: FaultyDatabase, faulty_book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensue.api.ledger.SETTLE_S", 0.01)
    numbers = itertools.count()
    faulty.next_fault = lambda: "begin" if next(numbers) else "none"
    answer = await make_api(accountants=[LedgerAccountant(faulty_book)]).client.post(
        "/v1/completions", json={"prompt": "x"}
    )
    assert (answer.status_code, faulty_book.stats().num_pending) == (200, 1)


async def test_where_the_database_fails_nothing_is_generated(
    make_api: MakeApi, book: Ledger, database: Database
) -> None:
    with database.write() as connection:
        connection.execute(text("ALTER TABLE ledger RENAME TO elsewhere"))
    api = make_api(accountants=[LedgerAccountant(book)])
    response = await api.client.post("/v1/completions", json={"prompt": "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "server_is_overloaded")
    assert response.headers["retry-after"] == "1"
    assert api.engine.requests == []
    with database.write() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO ledger"))
    await until(lambda: book.stats().num_batches > 0)
    assert await api.text(max_tokens=1)
