"""Which processes that write a ledger are alive: each holds a lock that dies with it, and anybody may try that lock."""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ensue.store.db import Database


class Instance(Protocol):
    """This process, as others see it."""

    id: str

    def keep(self) -> None:
        """Take the lock again where the database has dropped it; to be called now and then, and after its failures.

        Raises:
            DBAPIError: the database does not answer.
        """
        ...

    def close(self) -> None:
        """Let others see that it is gone."""
        ...


def enter(database: Database) -> Instance:
    """Be alive until `close`, or until the process ends in any way."""
    instance_id = secrets.token_hex(8)
    path = database.path
    if path is None:
        return _SessionLock(database, instance_id)
    for left_behind in path.parent.glob(_lock_path(path, "*").name):
        _is_file_locked(left_behind)
    return _FileLock(path, instance_id)


def is_alive(database: Database, instance_id: str) -> bool:
    """True also for this process's own."""
    path = database.path
    return _is_session_alive(database, instance_id) if path is None else _is_file_locked(_lock_path(path, instance_id))


class _FileLock:
    """Beside SQLite's file, as all its writers are on one machine."""

    def __init__(self, database_path: Path, instance_id: str) -> None:
        self.id = instance_id
        self._path = _lock_path(database_path, instance_id)
        unseen = self._path.with_name(f".{self._path.name}")
        self._file: IO[bytes] = open(os.open(unseen, os.O_CREAT | os.O_RDWR, 0o600), "wb")  # noqa: SIM115 - as long as it lives
        fcntl.flock(self._file, fcntl.LOCK_EX)
        unseen.rename(self._path)  # only once it is locked: a file that is seen unlocked says that its owner is dead

    def keep(self) -> None:
        """The kernel drops no lock."""

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def _lock_path(database_path: Path, instance_id: str) -> Path:
    return database_path.with_name(f"{database_path.name}-instance-{instance_id}")


def _is_file_locked(path: Path) -> bool:
    """Removes one that is not."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class _SessionLock:
    """PostgreSQL's, which ends with the connection that took it."""

    def __init__(self, database: Database, instance_id: str) -> None:
        self.id = instance_id
        self._database = database
        self._in_use = threading.Lock()  # a connection is for one thread at a time
        self._connection: Connection | None = None  # while the database does not answer
        self._is_held = False
        self.keep()

    def keep(self) -> None:
        with self._in_use:
            self._drop_if_dead()
            if self._connection is None:
                self._connection = self._connect()
            if not self._is_held:
                self._is_held = _try_lock(self._connection, _number(self.id))

    def close(self) -> None:
        with self._in_use:
            self._drop()

    def _drop_if_dead(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._is_held = self._connection, None, False
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        connection = self._database.session()
        connection.detach()  # from the pool, so that to close it is to end the session
        return connection


def _is_session_alive(database: Database, instance_id: str) -> bool:
    with database.session() as connection:
        number = _number(instance_id)
        if _try_lock(connection, number):
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})
            return False
    return True


def _try_lock(connection: Connection, number: int) -> bool:
    """False where another session holds it: one that lives, that the database has yet to miss, or that only tries."""
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar_one())


def _number(instance_id: str) -> int:
    """PostgreSQL knows locks by 64 bits with a sign."""
    return int.from_bytes(bytes.fromhex(instance_id), signed=True)
