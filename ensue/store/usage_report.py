"""Usage as operators ask for it and get it, from the CLI and by HTTP."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from io import StringIO
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ensue.errors import InvalidRequest, Overloaded
from ensue.store.db import Database
from ensue.store.usage import DIMENSIONS, SUMS, Dimension, UsageRow, Wanted, usage

FROM_AFTER_TO = "from must not be after to."
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms, which some locales compute

Cell = str | int | float | None


def parse_wanted(parameters: Mapping[str, str]) -> Wanted:
    """Texts as an operator gives them: `by` with commas, `from` and `to` as days, `key`, `model`.

    Raises:
        InvalidRequest: with the parameter in `param`.
    """
    by = tuple(word.strip() for word in parameters.get("by", ",".join(DIMENSIONS)).split(","))
    if not set(by) <= set(DIMENSIONS) or len(set(by)) < len(by):
        raise InvalidRequest(f"by must be some of {', '.join(DIMENSIONS)}, separated by commas.", param="by")
    wanted = Wanted(
        by=cast(tuple[Dimension, ...], by),
        first=_parse_day(parameters, "from"),
        last=_parse_day(parameters, "to"),
        key_id=parse_name(parameters, "key"),
        model=parse_name(parameters, "model"),
    )
    if wanted.first is not None and wanted.last is not None and wanted.first > wanted.last:
        raise InvalidRequest(FROM_AFTER_TO, param="from")
    return wanted


def parse_day(text: str) -> date:
    """Raises ValueError for what is not a day like 2026-01-31."""
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()


def _parse_day(parameters: Mapping[str, str], name: str) -> date | None:
    try:
        return parse_day(parameters[name]) if name in parameters else None
    except ValueError:
        raise InvalidRequest(f"{name} must be a day like 2026-01-31.", param=name) from None


def parse_name(parameters: Mapping[str, str], name: str) -> str | None:
    """Raises InvalidRequest."""
    text = parameters.get(name)
    if text is not None and not text.isprintable():  # not all databases take all of what isn't
        raise InvalidRequest(f"{name} must be printable.", param=name)
    return text


def read_report(database: Database, wanted: Wanted, max_rows: int | None = None) -> list[UsageRow]:
    """The sums in the order of what they were asked by.

    Raises:
        InvalidRequest: more rows than that.
        Overloaded: the database does not answer.
    """
    with reading(database) as connection:
        rows = usage(connection, wanted, None if max_rows is None else max_rows + 1)
    if max_rows is not None and len(rows) > max_rows:
        raise InvalidRequest(f"This is more than {max_rows} rows: narrow it by from, to, key, model or a shorter by.")
    return rows


@contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """Raises Overloaded where the database does not answer."""
    try:
        with database.read() as connection:
            yield connection
    except DBAPIError:
        raise Overloaded("The database does not answer.", retry_after_s=1) from None


def as_dict(row: UsageRow, by: Sequence[Dimension]) -> dict[str, str | int | None]:
    """For programs; what it was not asked by is left out, and no key is null."""
    group: dict[Dimension, dict[str, str | None]] = {
        "day": {"day": None if row.day is None else row.day.isoformat()},
        "key": {"key_id": row.key_id or None, "key_name": row.key_name},
        "model": {"model": row.model},
    }
    asked = {name: value for dimension in by for name, value in group[dimension].items()}
    return asked | {name: getattr(row, name) for name in (*SUMS, "total_tokens")}


def as_csv(rows: Sequence[UsageRow], by: Sequence[Dimension]) -> str:
    names = [name for dimension in by for name in (("key_id", "key_name") if dimension == "key" else (dimension,))]
    return csv_of((*names, *SUMS, "total_tokens"), [as_dict(row, by) for row in rows])


def csv_of(names: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """With a line of names; no cell is a formula to a spreadsheet."""
    text = StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return text.getvalue()


def _harmless(value: Cell) -> Cell:
    """Spreadsheets compute texts that begin like this; names are what somebody made up."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
