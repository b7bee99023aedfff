"""The database of a server, found by `--data-dir` or `--database-url`, else as the server's settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensue.cli import settings
from ensue.config import Config
from ensue.errors import ConfigError

if TYPE_CHECKING:  # slow to import
    from ensue.store.db import Database


@dataclass(frozen=True, slots=True)
class Place:
    """What the command line said."""

    data_dir: str | None
    database_url: str | None

    @property
    def config(self) -> Config:
        return settings.read({"data_dir": self.data_dir, "database_url": self.database_url})


@contextmanager
def database_of(config: Config, *, may_make: bool = False) -> Iterator[Database]:
    """
    Args:
        may_make: one that isn't there is made; else a mistyped folder is an error.

    Raises:
        ConfigError: there is none.
    """
    from ensue.build.store import database_file, open_database

    file = database_file(config.server)
    if not may_make and config.store.database_url is None and not file.exists():
        raise ConfigError(f"There is no database {file}: give the server's --data-dir or --database-url.")
    database = open_database(config.server, config.store)
    try:
        yield database
    finally:
        database.close()
