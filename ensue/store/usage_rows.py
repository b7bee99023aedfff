"""Single requests of the ledger, the newest first: what a key did at a time. Rows may be purged; the sums stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, tuple_

from ensue.errors import InvalidRequest
from ensue.store.db import Database
from ensue.store.schema import ledger
from ensue.store.usage import all_of, names_of_keys
from ensue.store.usage_report import FROM_AFTER_TO, csv_of, parse_day, parse_name, reading

DEFAULT_LIMIT = 100
COLUMNS = (
    "id",
    "created_at",
    "key_id",
    "key_name",
    "endpoint",
    "model",
    "user",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "finish",
    "status",
    "queue_s",
    "first_token_s",
    "total_s",
    "settled_at",
)

RequestRow = dict[str, str | int | float | None]  # by COLUMNS; where a request still runs, its end is None


@dataclass(frozen=True, slots=True)
class RowsWanted:
    """Which requests; times in Unix seconds, of when they came."""

    first: int | None = None
    end: int | None = None  # does not count
    key_id: str | None = None  # empty: those without a key
    model: str | None = None
    user: str | None = None  # the request's label
    before: str | None = None  # those before this one, by its id
    limit: int = DEFAULT_LIMIT


def parse_rows_wanted(parameters: Mapping[str, str], limit: int = DEFAULT_LIMIT) -> RowsWanted:
    """Texts as an operator gives them: `from` and `to` as days or times, `key`, `model`, `user`, `before`.

    Raises:
        InvalidRequest: with the parameter in `param`.
    """
    wanted = RowsWanted(
        first=_parse_moment(parameters, "from", timedelta()),
        end=_parse_moment(parameters, "to", timedelta(days=1)),
        key_id=parse_name(parameters, "key"),
        model=parse_name(parameters, "model"),
        user=parse_name(parameters, "user"),
        before=parse_name(parameters, "before"),
        limit=limit,
    )
    if wanted.first is not None and wanted.end is not None and wanted.first > wanted.end:
        raise InvalidRequest(FROM_AFTER_TO, param="from")
    return wanted


def _parse_moment(parameters: Mapping[str, str], name: str, added_to_day: timedelta) -> int | None:
    """A day counts from its first second, or up to its last."""
    if name not in parameters:
        return None
    text = parameters[name]
    try:
        day = datetime.combine(parse_day(text), datetime.min.time(), UTC)
        return int((day + added_to_day).timestamp())
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        allowed = "a day like 2026-01-31 or a time like 2026-01-31T12:00Z"
        raise InvalidRequest(f"{name} must be {allowed}.", param=name) from None


def read_rows(database: Database, wanted: RowsWanted) -> list[RequestRow]:
    """The newest first.

    Raises:
        InvalidRequest: there is no request `before`.
        Overloaded: the database does not answer.
    """
    with reading(database) as connection:
        return _rows(connection, wanted)


def rows_as_csv(rows: Sequence[RequestRow]) -> str:
    return csv_of(COLUMNS, rows)


def _rows(connection: Connection, wanted: RowsWanted) -> list[RequestRow]:
    order = (ledger.c.created_at, ledger.c.id)
    query = select(ledger).where(_is_wanted(wanted)).order_by(*(column.desc() for column in order))
    if wanted.before is not None:
        found = connection.execute(select(*order).where(ledger.c.id == wanted.before)).one_or_none()
        if found is None:
            raise InvalidRequest("before must be the id of a request in the ledger.", param="before")
        query = query.where(tuple_(*order) < tuple_(*found))
    names = names_of_keys(connection)
    found_rows = connection.execute(query.limit(wanted.limit)).mappings()
    return [_request_row(row, names) for row in found_rows]


def _request_row(row: Mapping[Any, Any], names: Mapping[str, str]) -> RequestRow:
    more = {"user": row["user_label"], "key_name": names.get(row["key_id"] or "")}
    return {name: more[name] if name in more else row[name] for name in COLUMNS}


def _is_wanted(wanted: RowsWanted) -> Any:
    columns = ledger.c
    conditions = [
        None if wanted.first is None else columns.created_at >= wanted.first,
        None if wanted.end is None else columns.created_at < wanted.end,
        None
        if wanted.key_id is None
        else (columns.key_id == wanted.key_id if wanted.key_id else columns.key_id.is_(None)),
        None if wanted.model is None else columns.model == wanted.model,
        None if wanted.user is None else columns.user_label == wanted.user,
    ]
    return all_of(conditions)
