"""What a batch of the ledger does to its tables in one transaction: rows reserved, followed, settled, summed by day.

All of it may be done again where nobody knows whether it was committed: a row is reserved once and counts once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ensue.outputs import Usage
from ensue.store.db import Database
from ensue.store.schema import ledger, outside_keys, usage_by_day

LOST = "lost"  # the finish of a request whose process died
CHUNK_SIZE = 500  # ids in one statement
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
_SUMS = ("requests", *_TOKENS)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request that is about to start."""

    id: str
    key_id: str | None
    model: str
    endpoint: str
    user: str | None
    created_at: int  # Unix seconds
    key_name: str | None = None  # of a key that the database does not hold


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a request ended; durations in seconds."""

    id: str
    usage: Usage
    finish: str
    status: int | None
    settled_at: int  # Unix seconds
    queue_s: float | None = None
    first_token_s: float | None = None
    total_s: float | None = None


@dataclass(slots=True)
class Batch:
    """Changes that are written together; a later one of a kind stands for an earlier one of the same request."""

    reservations: dict[str, Reservation] = field(default_factory=dict)
    usages: dict[str, Usage] = field(default_factory=dict)  # of requests that run
    settlements: dict[str, Settlement] = field(default_factory=dict)


class _Sum(NamedTuple):
    key_id: str
    day: date
    model: str


def write(connection: Connection, batch: Batch, instance_id: str) -> None:
    _reserve(connection, batch.reservations.values(), instance_id)
    _follow(connection, {i: usage for i, usage in batch.usages.items() if i not in batch.settlements})
    _settle(connection, batch.settlements)


def recover(database: Database, is_alive: Callable[[str], bool], now: int) -> int:
    """Settle what processes left behind that live no more, with what was written of it; the number of such requests.

    A process that only seemed dead loses nothing: its own settlement takes this one's place.
    """
    with database.read() as connection:
        instances = connection.execute(select(ledger.c.instance_id).where(_IS_OPEN).distinct()).scalars().all()
    dead = [instance for instance in instances if not is_alive(instance)]
    return sum(_give_up(database, instance, now) for instance in dead)


def day_of(time_s: float) -> date:
    """UTC."""
    return datetime.fromtimestamp(time_s, UTC).date()


_IS_OPEN = ledger.c.settled_at.is_(None)
_MAY_BE_SETTLED = or_(_IS_OPEN, ledger.c.finish == LOST)
_FOLLOW = (
    update(ledger)
    .where(ledger.c.id == bindparam("row_id"), _IS_OPEN)
    .values({name: bindparam(f"new_{name}") for name in _TOKENS})
)
_SETTLED = (*_TOKENS, "settled_at", "finish", "status", "queue_s", "first_token_s", "total_s")
_SETTLE = (
    update(ledger)
    .where(ledger.c.id == bindparam("row_id"))
    .values({name: bindparam(f"new_{name}") for name in _SETTLED})
)


_UNSETTLED = (
    select(ledger)
    .where(ledger.c.id.in_(bindparam("row_ids", expanding=True)), _MAY_BE_SETTLED)
    .order_by(ledger.c.id)
    .with_for_update()
)


def _reserve(connection: Connection, reservations: Collection[Reservation], instance_id: str) -> None:
    rows = [_row(reservation, instance_id) for reservation in reservations]
    if rows:
        connection.execute(_reserving(connection.dialect.name, ledger), rows)
    names = {r.key_id: r.key_name for r in reservations if r.key_id is not None and r.key_name is not None}
    if names:
        outside = [{"id": key_id, "name": names[key_id]} for key_id in sorted(names)]
        connection.execute(_reserving(connection.dialect.name, outside_keys), outside)


def _row(reservation: Reservation, instance_id: str) -> dict[str, Any]:
    return {
        "id": reservation.id,
        "instance_id": instance_id,
        "key_id": reservation.key_id,
        "model": reservation.model,
        "endpoint": reservation.endpoint,
        "user_label": None if reservation.user is None else _storable(reservation.user),
        "created_at": reservation.created_at,
    } | dict.fromkeys(_TOKENS, 0)


def _storable(label: str) -> str:
    """A caller's text without what a database refuses (NUL, lone surrogates) and what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in label)


def _follow(connection: Connection, usages: Mapping[str, Usage]) -> None:
    if usages:
        connection.execute(_FOLLOW, [{"row_id": i} | _tokens(usages[i]) for i in sorted(usages)])


def _settle(connection: Connection, settlements: Mapping[str, Settlement]) -> None:
    """Only what is not settled yet, so that doing it again changes nothing."""
    changes: list[dict[str, Any]] = []
    sums: dict[_Sum, list[int]] = {}
    for row in _unsettled(connection, sorted(settlements)):
        settlement = settlements[row.id]
        changes.append({"row_id": row.id} | _tokens(settlement.usage) | _ending(settlement))
        total = sums.setdefault(_Sum(row.key_id or "", day_of(row.created_at), row.model), [0] * len(_SUMS))
        for place, number in enumerate(_difference(row, settlement.usage)):
            total[place] += number
    if changes:
        connection.execute(_SETTLE, changes)
        _add(connection, sums)


def _unsettled(connection: Connection, ids: Sequence[str]) -> Iterator[Row[Any]]:
    """The rows that a settlement may change, locked in one order wherever this is done."""
    for start in range(0, len(ids), CHUNK_SIZE):
        chunk = ids[start : start + CHUNK_SIZE]
        yield from connection.execute(_UNSETTLED, {"row_ids": chunk}).all()


def _difference(row: Row[Any], usage: Usage) -> tuple[int, int, int, int]:
    """What the sums lack of a row."""
    if row.settled_at is None:
        return 1, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    return (
        0,
        usage.prompt_tokens - row.prompt_tokens,
        usage.cached_tokens - row.cached_tokens,
        usage.completion_tokens - row.completion_tokens,
    )


def _tokens(usage: Usage) -> dict[str, int]:
    return {f"new_{name}": getattr(usage, name) for name in _TOKENS}


def _ending(settlement: Settlement) -> dict[str, Any]:
    return {f"new_{name}": getattr(settlement, name) for name in _SETTLED if name not in _TOKENS}


def _add(connection: Connection, sums: Mapping[_Sum, Sequence[int]]) -> None:
    rows = [key._asdict() | dict(zip(_SUMS, sums[key], strict=True)) for key in sorted(sums)]
    connection.execute(_adding(connection.dialect.name), rows)


@functools.cache
def _reserving(dialect: str, table: Any) -> Any:
    return _insert(dialect, table).on_conflict_do_nothing()


@functools.cache
def _adding(dialect: str) -> Any:
    adding = _insert(dialect, usage_by_day)
    changed = {name: usage_by_day.c[name] + adding.excluded[name] for name in _SUMS}
    return adding.on_conflict_do_update(index_elements=usage_by_day.primary_key, set_=changed)


def _insert(dialect: str, table: Any) -> Any:
    """An INSERT that says what happens to rows that exist; each kind of database has its own."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def _give_up(database: Database, instance_id: str, now: int) -> int:
    """All open rows of one process, some at a time."""
    num_lost = 0
    while True:
        with database.write() as connection:
            mine = select(ledger).where(ledger.c.instance_id == instance_id, _IS_OPEN)
            rows = connection.execute(mine.order_by(ledger.c.id).limit(CHUNK_SIZE).with_for_update()).all()
            _settle(connection, {row.id: _lost(row, now) for row in rows})
        num_lost += len(rows)
        if len(rows) < CHUNK_SIZE:
            return num_lost


def _lost(row: Row[Any], now: int) -> Settlement:
    usage = Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens)
    return Settlement(row.id, usage, LOST, status=None, settled_at=now)
