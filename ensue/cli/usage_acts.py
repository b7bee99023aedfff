"""What is behind `ensue usage`, and too slow to import for `--help`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ensue.cli.place import Place, database_of
from ensue.errors import ConfigError, InvalidRequest, shown
from ensue.store import instances
from ensue.store.db import Database
from ensue.store.ledger_rows import recover
from ensue.store.usage import SUMS, Dimension, UsageRow, Wanted, keys_called, purge
from ensue.store.usage_report import as_csv, as_dict, parse_day, parse_wanted, read_report, reading
from ensue.store.usage_rows import RequestRow, parse_rows_wanted, read_rows, rows_as_csv

NUMBERS = (*SUMS, "total_tokens")
WIDTH_OF_A_FILE, WIDTH_FOR_ALL = 240, 160
NARROW_COLUMNS = ("time", "key", "model", "prompt", "completion", "finish", "status")  # of requests, on a terminal
REQUEST_COLUMNS: tuple[tuple[str, Callable[[RequestRow], str]], ...] = (
    ("time", lambda row: datetime.fromtimestamp(int(row["created_at"] or 0), UTC).strftime("%Y-%m-%d %H:%M:%SZ")),
    ("id", lambda row: str(row["id"])),
    ("key", lambda row: str(row["key_name"] or row["key_id"] or "without a key")),
    ("endpoint", lambda row: str(row["endpoint"])),
    ("model", lambda row: str(row["model"])),
    ("user", lambda row: str(row["user"] or "")),
    ("prompt", lambda row: f"{row['prompt_tokens']:,}"),
    ("cached", lambda row: f"{row['cached_tokens']:,}"),
    ("completion", lambda row: f"{row['completion_tokens']:,}"),
    ("finish", lambda row: str(row["finish"] or "runs")),
    ("status", lambda row: str(row["status"] or "")),
    ("seconds", lambda row: "" if row["total_s"] is None else f"{row['total_s']:.2f}"),
)


def show(place: Place, parameters: Mapping[str, str], form: Literal["json", "csv", "table"]) -> None:
    """Requests of servers that were killed, and not started again since, count as far as they are known."""
    wanted = _wanted(parameters)
    with database_of(place.config) as database:
        recover(database, lambda instance_id: instances.is_alive(database, instance_id), int(time.time()))
        rows = read_report(database, replace(wanted, key_id=_key_id(database, wanted.key_id)))
    if form == "json":
        sys.stdout.write(json.dumps([as_dict(row, wanted.by) for row in rows], indent=2) + "\n")
    elif form == "csv":
        sys.stdout.write(as_csv(rows, wanted.by))
    else:
        _print_table(rows, wanted.by)


def show_requests(
    place: Place, parameters: Mapping[str, str], limit: int, form: Literal["json", "csv", "table"]
) -> None:
    """Like `show`, for single requests."""
    try:
        wanted = parse_rows_wanted(parameters, limit)
        with database_of(place.config) as database:
            recover(database, lambda instance_id: instances.is_alive(database, instance_id), int(time.time()))
            rows = read_rows(database, replace(wanted, key_id=_key_id(database, wanted.key_id)))
    except InvalidRequest as error:
        raise ConfigError(f"--{error.message}") from None
    if form == "json":
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    elif form == "csv":
        sys.stdout.write(rows_as_csv(rows))
    else:
        _print_requests(rows)


def _key_id(database: Database, word: str | None) -> str | None:
    """The id of the key that is called so; none is asked for by None, and one that nobody needed by an empty word."""
    if not word:
        return word
    with reading(database) as connection:
        found = keys_called(connection, word)
    if len(found) != 1:
        how_many = f"{len(found)} API keys have the name" if found else "There is no API key with the id or name"
        raise ConfigError(f"{how_many} {shown(word)!r}: see `ensue keys list`.")
    return found[0]


def purge_before(place: Place, before: str) -> None:
    try:
        day = parse_day(before)
    except ValueError:
        raise ConfigError(f"--before must be a day like 2026-01-31, not {before!r}.") from None
    with database_of(place.config) as database:
        num_purged = purge(database, day)
    sys.stdout.write(f"Purged {num_purged} rows of days before {day}. The sums by day stay.\n")


def _wanted(parameters: Mapping[str, str]) -> Wanted:
    try:
        return parse_wanted(parameters)
    except InvalidRequest as error:
        raise ConfigError(f"--{error.message}") from None


def _print_table(rows: Sequence[UsageRow], by: Sequence[Dimension]) -> None:
    """A row a sum, and one for all."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=len(rows) > 1)
    for number, dimension in enumerate(by):
        table.add_column(dimension, "total" if number == 0 else "", overflow="fold")
    for name in NUMBERS:
        total = sum(getattr(row, name) for row in rows)
        table.add_column(name.removesuffix("_tokens"), f"{total:,}", justify="right")
    for row in rows:
        numbers = (f"{getattr(row, name):,}" for name in NUMBERS)
        table.add_row(*(Text(_shown(row, dimension)) for dimension in by), *numbers)
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
    console.print(table if rows else "Nothing was used.")


def _print_requests(rows: Sequence[RequestRow]) -> None:
    """The newest last, where a terminal is read."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
    columns = [one for one in REQUEST_COLUMNS if console.width >= WIDTH_FOR_ALL or one[0] in NARROW_COLUMNS]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, _ in columns:
        is_number = heading in ("prompt", "cached", "completion", "seconds")
        table.add_column(heading, overflow="fold", justify="right" if is_number else "left")
    for row in reversed(rows):
        table.add_row(*(Text(as_text(row)) for _, as_text in columns))
    console.print(table if rows else "There are no such requests.")


def _shown(row: UsageRow, dimension: Dimension) -> str:
    if dimension == "day":
        return str(row.day)
    if dimension == "model":
        return str(row.model)
    return f"{row.key_name} ({row.key_id})" if row.key_name else row.key_id or "without a key"
