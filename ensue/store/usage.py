"""What was used, by key, model and day: read from the ledger's sums, which outlast its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, select

from ensue.store.db import Database
from ensue.store.ledger_rows import day_of
from ensue.store.schema import api_keys, ledger, outside_keys, usage_by_day

Dimension = Literal["day", "key", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("day", "key", "model")
PURGE_CHUNK = 1000  # rows of one transaction: others write in between

SUMS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens")
_COLUMNS: dict[Dimension, Any] = {
    "day": usage_by_day.c.day,
    "key": usage_by_day.c.key_id,
    "model": usage_by_day.c.model,
}


def _tokens_since(name: str) -> Any:
    return func.sum(case((usage_by_day.c.day >= bindparam(name), _TOKENS), else_=0))


# Asked for each request of a key with a budget; making a statement takes longer than running it.
_TOKENS = usage_by_day.c.prompt_tokens + usage_by_day.c.completion_tokens
_SPENT = select(func.sum(_TOKENS), _tokens_since("month"), _tokens_since("today")).where(
    usage_by_day.c.key_id == bindparam("spender")
)
_SETTLED = select(ledger.c.id).where(
    ledger.c.id.in_(bindparam("request_ids", expanding=True)), ledger.c.settled_at.is_not(None)
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one key's settled requests, prompts and completions, by the time at which they began."""

    in_all: int = 0
    this_month: int = 0  # UTC
    this_day: int = 0  # UTC


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests to sum, and by what."""

    by: tuple[Dimension, ...] = DIMENSIONS
    first: date | None = None
    last: date | None = None  # counts, too
    key_id: str | None = None  # empty: those without a key
    model: str | None = None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One sum; what it was not asked by is None."""

    day: date | None
    key_id: str | None  # empty: no key was needed
    key_name: str | None
    model: str | None
    requests: int
    prompt_tokens: int
    cached_tokens: int  # of the prompt tokens
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def spent(connection: Connection, key_id: str, now: float) -> Spent:
    """What budgets are held against; quick, whatever the key has used: it reads one row a day and model.

    Args:
        now: Unix seconds.
    """
    today = day_of(now)
    found = connection.execute(_SPENT, {"spender": key_id, "month": today.replace(day=1), "today": today}).one()
    return Spent(*(int(number or 0) for number in found))


def settled_of(connection: Connection, request_ids: Sequence[str]) -> frozenset[str]:
    """Those of the requests that are settled, and so part of the sums."""
    if not request_ids:
        return frozenset()
    return frozenset(connection.execute(_SETTLED, {"request_ids": list(request_ids)}).scalars())


def usage(connection: Connection, wanted: Wanted, max_rows: int | None = None) -> list[UsageRow]:
    """The sums in the order of what they were asked by, the first so many."""
    columns = [_COLUMNS[dimension] for dimension in wanted.by]
    sums = [func.sum(usage_by_day.c[name]) for name in SUMS]
    query = select(*columns, *sums).where(_is_wanted(wanted)).group_by(*columns).order_by(*columns)
    rows = connection.execute(query.limit(max_rows)).all()
    names = names_of_keys(connection) if "key" in wanted.by else {}
    return [_usage_row(row, wanted.by, names) for row in rows if row[len(columns)] is not None]


def names_of_keys(connection: Connection) -> dict[str, str]:
    """By id; those of other issuers' tokens, too, once they have made a request."""
    tables = (outside_keys, api_keys)
    return {key_id: name for table in tables for key_id, name in connection.execute(select(table.c.id, table.c.name))}


def keys_called(connection: Connection, word: str) -> list[str]:
    """Ids of the keys that have this id, else of those that have this name."""
    names = names_of_keys(connection)
    has_used = select(usage_by_day.c.key_id).where(usage_by_day.c.key_id == word).limit(1)
    if word in names or connection.execute(has_used).first() is not None:
        return [word]
    return [key_id for key_id, name in names.items() if name == word]


def purge(database: Database, before: date, go_on: Callable[[], bool] = lambda: True) -> int:
    """Delete the settled rows of the days before that one, and return their number; the sums stay."""
    midnight = int(datetime.combine(before, time(), UTC).timestamp())
    old = select(ledger.c.id).where(ledger.c.created_at < midnight, ledger.c.settled_at.is_not(None))
    num_purged = 0
    while go_on():
        with database.write() as connection:
            done = connection.execute(delete(ledger).where(ledger.c.id.in_(old.limit(PURGE_CHUNK))))
        num_purged += done.rowcount
        if done.rowcount < PURGE_CHUNK:
            break
    return num_purged


def _is_wanted(wanted: Wanted) -> Any:
    columns = usage_by_day.c
    conditions = [
        None if wanted.first is None else columns.day >= wanted.first,
        None if wanted.last is None else columns.day <= wanted.last,
        None if wanted.key_id is None else columns.key_id == wanted.key_id,
        None if wanted.model is None else columns.model == wanted.model,
    ]
    return all_of(conditions)


def all_of(conditions: Iterable[Any]) -> Any:
    """Where all of those hold that are not None."""
    return and_(True, *(condition for condition in conditions if condition is not None))


def _usage_row(row: Row[Any], by: Sequence[Dimension], names: dict[str, str]) -> UsageRow:
    group: dict[Dimension, Any] = dict(zip(by, row, strict=False))
    return UsageRow(
        group.get("day"),
        group.get("key"),
        names.get(group.get("key", "")),
        group.get("model"),
        *(int(number) for number in row[len(by) :]),
    )
