"""Keys as people read them on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ensue.rights import LIMITS, TIMES
from ensue.store.api_key import ApiKey, describe
from ensue.times import LATEST

COLUMNS = ("id", "name", "owner", "ends in", "state", "scopes", "models", "limits", "expires")
WIDTH_OF_A_FILE = 240
WIDTH_FOR_ALL = 120
NARROW_COLUMNS = ("id", "name", "ends in", "state", "expires")  # on a terminal; `ensue keys show` has the rest
STYLES = {"active": "green", "revoked": "red", "expired": "red"}
POINTS_IN_TIME = (*TIMES, "created_at", "revoked_at", "old_until")


def print_keys(keys: Iterable[ApiKey], console: Console | None = None) -> None:
    """One row a key."""
    console = console or _console()
    is_narrow = console.width < WIDTH_FOR_ALL
    columns = NARROW_COLUMNS if is_narrow else COLUMNS
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in ("name", "owner", "scopes", "models", "limits"))
    for key in keys:
        cells = dict(zip(COLUMNS, _row(key), strict=True))
        if is_narrow:
            cells["expires"] = Text(cells["expires"].plain.partition(" ")[0])
        table.add_row(*(cells[column] for column in columns))
    console.print(table)
    if is_narrow:
        console.print(Text("All of one: ensue keys show KEY", "dim"))


def print_key(key: ApiKey) -> None:
    """One line a field, without the limits that a key does not have."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in describe(key, time.time()).items():
        if value not in (None, "", [], False) or name == "priority":
            table.add_row(Text(name.replace("_", " "), "dim"), _shown(name, value))
    _console().print(table)


def print_token(token: str) -> None:
    console = _console()
    console.print("\nThe key, shown this once:")
    console.print(Text(token, "bold"))


def _row(key: ApiKey) -> Iterator[Text]:
    state = key.state(time.time())
    yield from (Text(text) for text in (key.id, key.name, key.owner, key.hint))
    yield Text(state, STYLES.get(state, "yellow"))
    yield Text(" ".join(sorted(key.rights.scopes)))
    yield Text(" ".join(key.rights.models))
    limits = {name: getattr(key.rights, name) for name in LIMITS}
    yield Text(", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in limits.items() if value is not None))
    yield _shown("expires_at", key.rights.expires_at)


def _shown(name: str, value: Any) -> Text:
    if value is None:
        return Text("")
    if name in POINTS_IN_TIME and value <= LATEST:
        return Text(datetime.fromtimestamp(value, UTC).isoformat(" ", "minutes").replace("+00:00", "Z"))
    return Text(" ".join(value) if isinstance(value, list) else str(value))


def _console() -> Console:
    """As wide as the terminal; where there is none, as wide as a table needs."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_OF_A_FILE)
