"""The database of a server, found by `--data-dir` or `--database-url`, else as the server's settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ensue.cli import settings
from ensue.errors import ConfigError
from ensue.store.db import Database


@dataclass(frozen=True, slots=True)
class Place:
    """What the command line said."""

    data_dir: str | None
    database_url: str | None


@contextmanager
def database_of(place: Place) -> Iterator[Database]:
    """
    Raises:
        ConfigError: there is none; a mistyped folder does not make one.
    """
    from ensue.build.store import database_file, open_database

    config = settings.read({"data_dir": place.data_dir, "database_url": place.database_url})
    file = database_file(config.server)
    if config.store.database_url is None and not file.exists():
        raise ConfigError(f"There is no database {file}: give the server's --data-dir or --database-url.")
    database = open_database(config.server, config.store)
    try:
        yield database
    finally:
        database.close()
