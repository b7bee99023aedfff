"""What a batch does to the tables, once or several times, and what recovery makes of rows that were left open."""

from __future__ import annotations

import pytest

from ensue.outputs import Usage
from ensue.store.db import Database
from ensue.store.ledger_rows import CHUNK_SIZE, recover
from tests.store.ledger_tools import (
    NOON,
    assert_sums_are_those_of_the_rows,
    batch,
    reservation,
    rows,
    settlement,
    write,
)


def test_a_reserved_row_is_open(database: Database) -> None:
    write(database, batch(reservation(1, user="me")))
    row = rows(database)["req_1"]
    assert (row.instance_id, row.key_id, row.model, row.endpoint) == ("one", "key_a", "tiny", "/v1/completions")
    assert (row.user_label, row.created_at, row.settled_at, row.finish) == ("me", NOON, None, None)
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (0, 0, 0)


def test_a_settled_row_says_how_it_ended(database: Database) -> None:
    write(database, batch(reservation(1)))
    write(database, batch(settlement(1, queue_s=0.5, first_token_s=1.5, total_s=2.5)))
    row = rows(database)["req_1"]
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (10, 4, 5)
    assert (row.finish, row.status, row.settled_at) == ("stop", 200, NOON + 9)
    assert (row.queue_s, row.first_token_s, row.total_s) == (0.5, 1.5, 2.5)
    assert_sums_are_those_of_the_rows(database)


def test_the_same_batch_again_changes_nothing(database: Database) -> None:
    whole = batch(reservation(1), reservation(2), settlement(1), r2=Usage(10, 1))
    for _ in range(3):
        write(database, whole)
    assert len(rows(database)) == 2
    assert rows(database)["req_2"].completion_tokens == 1
    assert_sums_are_those_of_the_rows(database)


def test_a_settled_row_is_neither_followed_nor_settled_again(database: Database) -> None:
    write(database, batch(reservation(1), settlement(1)))
    before = rows(database)
    write(database, batch(settlement(1, Usage(99, 99), finish="error")))
    write(database, batch(r1=Usage(77, 77)))
    assert rows(database) == before
    assert_sums_are_those_of_the_rows(database)


def test_a_settlement_of_what_was_never_reserved_is_nothing(database: Database) -> None:
    write(database, batch(settlement(1), r2=Usage(1)))
    assert rows(database) == {}


@pytest.mark.parametrize("count", [CHUNK_SIZE, 2 * CHUNK_SIZE + 1])
def test_a_batch_of_any_size_is_written(database: Database, count: int) -> None:
    write(database, batch(*map(reservation, range(count)), *map(settlement, range(count))))
    assert all(row.settled_at for row in rows(database).values())
    assert_sums_are_those_of_the_rows(database)


@pytest.mark.parametrize("label", ["nul \0", "\ud800 surrogate", "\x1b[31mred", "line\nbreak"])
def test_a_label_can_be_stored_and_shown(database: Database, label: str) -> None:
    write(database, batch(reservation(1, user=label)))
    stored = rows(database)["req_1"].user_label
    assert stored.isprintable()
    assert len(stored) == len(label)


def test_recovery_settles_the_rows_of_the_dead_with_what_was_known(database: Database) -> None:
    write(database, batch(reservation(1), reservation(2), reservation(3), r1=Usage(10, 7, 3)), "dead")
    write(database, batch(settlement(3)), "dead")
    write(database, batch(reservation(4)), "alive")
    assert recover(database, {"alive"}.__contains__, NOON + 60) == 2
    found = rows(database)
    assert [found[f"req_{n}"].finish for n in (1, 2, 3, 4)] == ["lost", "lost", "stop", None]
    lost = found["req_1"]
    assert (lost.prompt_tokens, lost.cached_tokens, lost.completion_tokens) == (10, 3, 7)
    assert (lost.status, lost.settled_at) == (None, NOON + 60)
    assert_sums_are_those_of_the_rows(database)
    assert recover(database, {"alive"}.__contains__, NOON + 70) == 0


def test_recovery_takes_many_rows_in_turns(database: Database) -> None:
    write(database, batch(*map(reservation, range(CHUNK_SIZE + 3))), "dead")
    assert recover(database, lambda _: False, NOON) == CHUNK_SIZE + 3
    assert_sums_are_those_of_the_rows(database)


def test_the_settlement_of_a_process_that_only_seemed_dead_stands(database: Database) -> None:
    write(database, batch(reservation(1), r1=Usage(10, 2, 1)))
    recover(database, lambda _: False, NOON)
    write(database, batch(r1=Usage(10, 3, 1)))
    assert rows(database)["req_1"].completion_tokens == 2
    write(database, batch(settlement(1, Usage(10, 6, 2))))
    row = rows(database)["req_1"]
    assert (row.finish, row.completion_tokens, row.cached_tokens) == ("stop", 6, 2)
    assert_sums_are_those_of_the_rows(database)
