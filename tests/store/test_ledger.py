"""The ledger of a process: what is waited for, what is tried again, what is never lost and never twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from ensue.errors import Overloaded
from ensue.outputs import Usage
from ensue.store import instances
from ensue.store import ledger as ledger_module
from ensue.store.db import Database
from ensue.store.ledger import Ledger
from ensue.store.schema import ledger as ledger_table
from ensue.store.schema import usage_by_day
from tests.store.faulty import Fault, FaultyDatabase
from tests.store.ledger_tools import assert_sums_are_those_of_the_rows, reservation, rows, settlement

FAULTS: tuple[Fault, ...] = ("none", "begin", "commit", "unsure")


@pytest.fixture
def faulty(database: Database, url: str) -> Iterator[FaultyDatabase]:
    """The same database; migrated already."""
    faulty = FaultyDatabase(url)
    yield faulty
    faulty.close()


@pytest.fixture
def book(faulty: FaultyDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(ledger_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(ledger_module, "LONGEST_PAUSE_S", 0.01)
    book = Ledger(faulty, instances.enter(faulty))
    yield book
    book.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


def faults(*first: Fault, then: Fault = "none") -> Callable[[], Fault]:
    return chain(first, repeat(then)).__next__


async def test_a_reservation_is_committed_when_it_returns(book: Ledger, database: Database) -> None:
    await book.reserve(reservation(1))
    assert rows(database)["req_1"].settled_at is None


async def test_what_is_left_is_written_at_the_end(book: Ledger, database: Database) -> None:
    await book.reserve(reservation(1))
    await book.reserve(reservation(2))
    book.follow("req_2", Usage(10, 3))
    book.settle(settlement(1))
    book.close()
    found = rows(database)
    assert found["req_1"].finish == "stop"
    assert (found["req_2"].finish, found["req_2"].completion_tokens) == (None, 3)


async def test_reservations_share_a_transaction(book: Ledger, faulty: FaultyDatabase, database: Database) -> None:
    is_first, go_on = threading.Event(), threading.Event()

    def hold_up() -> Fault:
        is_first.set()
        go_on.wait(30)
        return "none"

    faulty.next_fault = hold_up
    tasks = [asyncio.create_task(book.reserve(reservation(0)))]
    await until(is_first.is_set)
    tasks += [asyncio.create_task(book.reserve(reservation(n))) for n in range(1, 50)]
    await until(lambda: book.stats().num_pending == 50)
    assert book.stats().lag_s > 0
    go_on.set()
    await asyncio.gather(*tasks)
    stats = book.stats()
    assert (stats.num_rows, stats.num_batches, stats.num_pending) == (50, 2, 0)
    assert len(rows(database)) == 50


@pytest.mark.parametrize("fault", FAULTS[1:])
async def test_a_reservation_that_fails_is_refused_and_bills_nothing(
    book: Ledger, faulty: FaultyDatabase, database: Database, fault: Fault
) -> None:
    faulty.next_fault = faults(fault)
    with pytest.raises(Overloaded) as caught:
        await book.reserve(reservation(1))
    assert caught.value.retry_after_s == 1
    await until(lambda: not book.stats().num_pending and book.stats().num_batches > 0)
    found = [(row.finish, row.prompt_tokens, row.completion_tokens) for row in rows(database).values()]
    assert found == ([("error", 0, 0)] if fault == "unsure" else [])


async def test_while_the_database_fails_nothing_is_let_in_and_nothing_is_lost(
    book: Ledger, faulty: FaultyDatabase, database: Database
) -> None:
    await book.reserve(reservation(1))
    faulty.next_fault = faults(then="begin")
    book.settle(settlement(1))
    await until(lambda: book.stats().num_failures > 2)
    with pytest.raises(Overloaded):
        await book.reserve(reservation(2))
    assert book.stats().num_pending == 1
    faulty.next_fault = faults()
    await until(lambda: not book.stats().num_pending)
    assert rows(database)["req_1"].finish == "stop"
    await book.reserve(reservation(3))


@pytest.mark.parametrize("is_taken", [False, True], ids=["waiting", "being written"])
async def test_a_reservation_that_is_cancelled_leaves_nothing_open(
    book: Ledger, faulty: FaultyDatabase, database: Database, is_taken: bool
) -> None:
    is_held, go_on = threading.Event(), threading.Event()

    def hold_up() -> Fault:
        is_held.set()
        go_on.wait(30)
        return "none"

    faulty.next_fault = hold_up
    first = asyncio.create_task(book.reserve(reservation(1)))
    await until(is_held.is_set)
    second = asyncio.create_task(book.reserve(reservation(2)))
    await until(lambda: book.stats().num_pending == 2)
    (first if is_taken else second).cancel()
    await asyncio.wait([first, second], timeout=0.05)
    go_on.set()
    await asyncio.wait([first, second])
    book.close()
    found = {row.id: row.finish for row in rows(database).values()}
    assert found == ({"req_1": "cancelled", "req_2": None} if is_taken else {"req_1": None})


async def test_a_database_that_hangs_is_waited_for_so_long(
    book: Ledger, faulty: FaultyDatabase, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RESERVE_TIMEOUT_S", 0.05)
    go_on = threading.Event()

    def hold_up() -> Fault:
        go_on.wait(30)
        return "none"

    faulty.next_fault = hold_up
    with pytest.raises(Overloaded):
        await book.reserve(reservation(1))
    go_on.set()
    book.close()
    assert rows(database)["req_1"].finish == "cancelled"


async def test_no_more_reservations_wait_than_there_may(
    book: Ledger, faulty: FaultyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_WAITING", 0)
    with pytest.raises(Overloaded):
        await book.reserve(reservation(1))


async def test_a_ledger_that_is_closed_takes_nothing(book: Ledger) -> None:
    book.close()
    with pytest.raises(Overloaded):
        await book.reserve(reservation(1))


async def test_closing_gives_up_on_a_database_that_goes_on_failing(
    book: Ledger, faulty: FaultyDatabase, database: Database
) -> None:
    await book.reserve(reservation(1))
    faulty.next_fault = faults(then="commit")
    book.settle(settlement(1))
    book.close(0.05)
    assert rows(database)["req_1"].settled_at is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(script=st.lists(st.sampled_from(FAULTS), max_size=12), num_requests=st.integers(1, 30))
def test_whatever_fails_each_row_is_there_once_with_its_truth(
    faulty: FaultyDatabase, monkeypatch: pytest.MonkeyPatch, script: list[Fault], num_requests: int
) -> None:
    monkeypatch.setattr(ledger_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(ledger_module, "LONGEST_PAUSE_S", 0.002)
    faulty.next_fault = faults()
    with faulty.write() as connection:
        connection.execute(delete(ledger_table))
        connection.execute(delete(usage_by_day))
    faulty.next_fault = faults(*script)
    book = Ledger(faulty, instances.enter(faulty))
    accepted = asyncio.run(_use(book, num_requests))
    book.close()
    found = rows(faulty)
    assert {row.id for row in found.values() if row.finish == "stop"} == accepted
    assert all((row.finish, row.completion_tokens) == ("error", 0) for row in found.values() if row.id not in accepted)
    assert all(row.completion_tokens == 5 for row in found.values() if row.id in accepted)
    assert_sums_are_those_of_the_rows(faulty)


async def _use(book: Ledger, num_requests: int) -> set[str]:
    """Requests at once; those that were accepted."""

    async def request(number: int) -> str | None:
        await asyncio.sleep(0.0005 * (number % 7))
        try:
            await book.reserve(reservation(number))
        except Overloaded:
            return None
        book.follow(f"req_{number}", Usage(10, 2))
        await asyncio.sleep(0)
        book.settle(settlement(number))
        return f"req_{number}"

    return {name for name in await asyncio.gather(*map(request, range(num_requests))) if name}


async def test_who_waits_for_a_settlement_waits_until_it_is_committed(book: Ledger, faulty: FaultyDatabase) -> None:
    await book.reserve(reservation(1))
    faulty.next_fault = faults(then="begin")
    book.settle(settlement(1))
    waiting = asyncio.create_task(book.settled("req_1"))
    await until(lambda: book.stats().num_failures > 2)
    assert not waiting.done()
    faulty.next_fault = faults()
    await waiting
    assert rows(faulty)["req_1"].finish == "stop"
    await book.settled("req_1")
    await book.settled("req_never_noted")
