"""A connection pool and the meaning of its transactions; knows no table but the one that holds the schema's version."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from ensue.errors import ConfigError, StartupError
from ensue.store.schema import REVISION, VERSION_TABLE
from ensue.urls import without_password

BUSY_TIMEOUT_S = 10  # how long a writer waits for another one
_WRITES = {"ensue_writes": True}
_SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_LOCK_ID = 0x656E737565  # of PostgreSQL's advisory locks; ours spells the project's name
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class Database:
    """One SQL database: SQLite in a file by default, PostgreSQL by its URL.

    SQLite runs with a write-ahead log, so that readers don't wait for the writer, and a write transaction takes its
    lock at once: what it read stays true until it commits, in any number of processes. On PostgreSQL writers run side
    by side, locking the rows that they read `for update`; those that must be alone say so.
    """

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that is none or whose driver is not installed. Connects to nothing."""
        parsed = _parse(url)
        self._is_sqlite = parsed.get_backend_name() == "sqlite"
        self._path = Path(parsed.database) if self._is_sqlite and parsed.database else None
        self._shown = without_password(url)
        try:
            self._engine = create_engine(parsed, **_engine_options(parsed))
        except (NoSuchModuleError, ModuleNotFoundError):
            raise ConfigError(
                f"No driver is installed for the database {self._shown}; "
                "PostgreSQL's comes with `pip install ensue[postgres]`."
            ) from None
        if self._is_sqlite:
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        if self._path is not None:
            event.listen(self._engine, "connect", self._note_file)
            event.listen(self._engine, "checkout", self._refuse_other_file)
        self._reads = self._engine if self._is_sqlite else self._engine.execution_options(**_SNAPSHOT)
        self._writes = self._engine.execution_options(**_WRITES)

    def __repr__(self) -> str:
        return f"Database({self._shown!r})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self._reads.begin() as connection:
            yield connection

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        """A transaction that may change the database.

        Args:
            alone: no other transaction that asks for this runs at the same time, in any process; on SQLite none at all.
        """
        with self._writes.begin() as connection:
            if alone and not self._is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            yield connection

    @property
    def path(self) -> Path | None:
        """SQLite's file."""
        return self._path

    def session(self) -> Connection:
        """A connection on which each statement commits, to be closed; for what a database ties to its sessions."""
        return self._engine.execution_options(isolation_level="AUTOCOMMIT").connect()

    def create_file(self) -> None:
        """Make SQLite's file, readable by its owner alone, where there is none yet, and try a connection to any.

        Raises:
            StartupError: the database cannot be opened.
        """
        try:
            if self._path is not None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _alone(self._path):
                    self._create_sqlite(self._path)
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except (OSError, DBAPIError, sqlite3.Error) as error:
            raise StartupError(f"The database {self._shown} cannot be opened: {_reason(error)}.") from None

    def _create_sqlite(self, path: Path) -> None:
        """To be called alone: SQLite turns the write-ahead log on only where no other connection is busy."""
        if not path.exists():  # else closing it here would drop the locks that this process's connections hold on it
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode = WAL")  # stays on, in the file

    def is_current(self) -> bool:
        """True where no migration is needed. Quick, and does not load Alembic; else see `migrate.upgrade`."""
        self.create_file()
        with self.read() as connection:
            return find_revision(connection) == REVISION

    def close(self) -> None:
        self._engine.dispose()

    def _note_file(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info["file"] = self._file()

    def _refuse_other_file(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry, _: object) -> None:
        """What is written to a deleted file is lost, and keys that are revoked in a restored one would go on here."""
        file = self._file()
        if file is None:
            raise sqlite3.OperationalError("its file was deleted or moved")
        if file != entry.info["file"]:
            raise DisconnectionError("The database's file is another one.")  # the pool connects again

    def _file(self) -> tuple[int, int] | None:
        """Which file stands at the path, by device and number."""
        try:
            found = os.stat(self._path or "")
        except OSError:
            return None
        return found.st_dev, found.st_ino


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def find_revision(connection: Connection) -> str | None:
    """The migration that the database stands at; None for an empty one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608


def _parse(url: str) -> URL:
    """The URL with the driver that is used for its kind of database."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second: a port that is no number
        raise ConfigError(
            "database_url must be a URL such as sqlite:////var/lib/ensue/ensue.db or postgresql://user@host/ensue."
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ConfigError(f"database_url must begin with sqlite: or postgresql:, not with {parsed.drivername}:.")
    if "@" in (parsed.host or ""):  # it would be named in errors, with the end of the password
        raise ConfigError("In database_url, an @ within a password must be written as %40.")
    return parsed if "+" in parsed.drivername else parsed.set(drivername=_DRIVERS[backend])


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    given = () if "connect_timeout" in url.query else (("connect_timeout", BUSY_TIMEOUT_S),)
    return {"connect_args": dict(given), "pool_pre_ping": True}


def _reason(error: Exception) -> str:
    """In a line; drivers name hosts and users, never passwords."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One of all threads and processes at a time, by a lock on a file beside the database."""
    with open(os.open(f"{path}-lock", os.O_CREAT | os.O_RDWR, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_up_sqlite(connection: DBAPIConnection, _: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing on its own; `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("ensue_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
