"""A process dies at any write boundary: every row that was promised is there once, and counts once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event

from ensue.outputs import Usage
from ensue.store.db import Database
from ensue.store.ledger_rows import LOST, Batch, recover
from ensue.store.schema import ledger, usage_by_day
from tests.store.ledger_tools import (
    NOON,
    assert_sums_are_those_of_the_rows,
    batch,
    reservation,
    rows,
    settlement,
    write,
)


class Death(BaseException):
    """Of the process: nothing after it is done, and what was not committed is gone."""


@dataclass
class Model:
    """What must be true of each request, from the writes that have returned; `doubtful` ones may or may not be done."""

    reserved: set[str] = field(default_factory=set)
    known: dict[str, Usage] = field(default_factory=dict)
    settled: dict[str, Usage] = field(default_factory=dict)

    def write(self, batch: Batch) -> None:
        self.reserved |= batch.reservations.keys()
        self.known |= {i: usage for i, usage in batch.usages.items() if i not in self.settled}
        self.settled |= {i: one.usage for i, one in batch.settlements.items()}

    def outcome(self, request_id: str) -> tuple[str, Usage]:
        """Finish and usage after the recovery."""
        if request_id in self.settled:
            return "stop", self.settled[request_id]
        return LOST, self.known.get(request_id, Usage())


def outcomes(database: Database) -> dict[str, tuple[str, Usage]]:
    return {
        row.id: (row.finish, Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens))
        for row in rows(database).values()
    }


def expected(model: Model) -> dict[str, tuple[str, Usage]]:
    return {request_id: model.outcome(request_id) for request_id in model.reserved}


@contextmanager
def death_at(database: Database, boundary: int) -> Iterator[None]:
    """Die before the statement or commit of that number."""
    num_left = boundary

    def count(*_: Any) -> None:
        nonlocal num_left
        if num_left == 0:
            raise Death
        num_left -= 1

    engine = database._engine
    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)
        event.remove(engine, "commit", count)


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    """Lives of a few requests, cut into transactions."""
    changes: list[list[Any]] = [[] for _ in range(draw(st.integers(1, 6)))]
    for number in range(draw(st.integers(1, 5))):
        steps = sorted(draw(st.lists(st.integers(0, len(changes) - 1), min_size=1, max_size=4)))
        changes[steps[0]].append(reservation(number))
        for place in steps[1:-1]:
            changes[place].append((f"r{number}", Usage(10, draw(st.integers(1, 9)))))
        if len(steps) > 1:
            changes[steps[-1]].append(settlement(number, Usage(10, draw(st.integers(0, 20)), 3)))
    return [
        batch(*(c for c in some if not isinstance(c, tuple)), **dict(c for c in some if isinstance(c, tuple)))
        for some in changes
    ]


def empty(database: Database) -> None:
    with database.write() as connection:
        connection.execute(delete(ledger))
        connection.execute(delete(usage_by_day))


def run(database: Database, script: list[Batch], dies_at: int) -> tuple[Model, Model]:
    """Write until death; what has returned, and that with the write during which death came."""
    done, with_last = Model(), Model()
    try:
        with death_at(database, dies_at):
            for some in script:
                with_last.write(some)
                write(database, some)
                done.write(some)
    except Death:
        pass
    return done, with_last


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(script=batches(), dies_at=st.integers(0, 30), recovery_dies_at=st.integers(0, 12))
def test_after_death_and_recovery_nothing_is_lost_and_nothing_twice(
    database: Database, script: list[Batch], dies_at: int, recovery_dies_at: int
) -> None:
    empty(database)
    done, with_last = run(database, script, dies_at)
    try:
        with death_at(database, recovery_dies_at):
            recover(database, lambda _: False, NOON)
    except Death:
        recover(database, lambda _: False, NOON)
    assert outcomes(database) in (expected(done), expected(with_last))
    assert_sums_are_those_of_the_rows(database)
    assert recover(database, lambda _: False, NOON) == 0


def test_every_boundary_of_one_life_is_survived(database: Database) -> None:
    script = [batch(reservation(1)), batch(r1=Usage(10, 2)), batch(settlement(1)), batch(reservation(2))]
    seen = set()
    for boundary in range(20):
        empty(database)
        done, with_last = run(database, script, boundary)
        recover(database, lambda _: False, NOON)
        assert outcomes(database) in (expected(done), expected(with_last))
        seen.add(outcomes(database).get("req_1"))
    assert seen == {None, (LOST, Usage()), (LOST, Usage(10, 2)), ("stop", Usage(10, 5, 4))}
