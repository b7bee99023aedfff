"""The database file, its transactions and its migrations."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from ensue.errors import ConfigError, StartupError
from ensue.rights import KeyRights
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from ensue.store.migrate import upgrade
from ensue.store.schema import REVISION, metadata


def test_migrations_lead_to_the_tables_of_the_schema(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_is_current_after_its_upgrade_only(url: str) -> None:
    database = Database(url)
    assert not database.is_current()
    upgrade(database)
    assert database.is_current()
    upgrade(database)
    database.close()


@pytest.mark.parametrize("attempt", range(20))  # what goes wrong here goes wrong now and then
def test_processes_that_start_together_upgrade_once(url: str, attempt: int) -> None:
    databases = [Database(url) for _ in range(6)]
    together = Barrier(len(databases))

    def start(database: Database) -> None:
        together.wait()
        upgrade(database)

    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(start, databases))
    assert all(database.is_current() for database in databases)
    for database in databases:
        database.close()


def test_a_later_schema_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not database.is_current()
    with pytest.raises(StartupError, match=rf"schema 9999.* up to {REVISION}.*later version"):
        upgrade(database)


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def fail_halfway() -> None:
        with database.write() as connection:
            connection.execute(text("CREATE TABLE half (id INTEGER)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    with database.read() as connection:
        assert not inspect(connection).has_table("half")


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 10_000)])
def test_sqlite_runs_with_the_settings_it_needs(sqlite_database: Database, pragma: str, value: object) -> None:
    with sqlite_database.read() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_a_reader_does_not_wait_for_the_writer(database: Database) -> None:
    with database.write() as writer, database.read() as reader:
        writer.execute(text("DELETE FROM api_keys"))
        assert reader.execute(text("SELECT count(*) FROM api_keys")).scalar() == 0


def test_the_file_is_readable_by_its_owner_alone(sqlite_database: Database, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "data" / "ensue.db").stat().st_mode) == 0o600


def test_checking_a_current_database_does_not_load_alembic(database: Database, url: str) -> None:
    code = "import sys; from ensue.store.db import Database; assert Database(sys.argv[1]).is_current(); "
    subprocess.run([sys.executable, "-c", code + "assert 'alembic' not in sys.modules", url], check=True)


@pytest.mark.parametrize("url", ["", "not a url", "nosql://host/name", "mysql://host/name"])
def test_a_bad_url_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "nosql://user:pass-word@host/name",
        "postgresql://user:pa@pass-word@host/name",
        "postgresql://user:pass-word@host:port/name",
        "postgresql://user:x@y:pass-word@host/name",
        "postgresql//user:pass-word@host/name",
    ],
)
def test_a_password_is_shown_in_no_message(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite+none://user:pass-word@host/name", "sqlite+none:///name?password=pass-word"])
def test_no_password_is_shown_where_a_driver_is_missing(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "***" in str(caught.value)
    assert "pass-word" not in str(caught.value)


def test_a_file_that_cannot_be_opened_is_a_startup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot be opened"):
        Database(sqlite_url(tmp_path / "file" / "ensue.db")).is_current()


def test_a_file_that_is_no_database_is_a_startup_error(tmp_path: Path) -> None:
    (tmp_path / "ensue.db").write_text("no database " * 100)
    with pytest.raises(StartupError, match="cannot be opened"):
        Database(sqlite_url(tmp_path / "ensue.db")).is_current()


def test_writers_that_must_be_alone_wait_for_one_another(url: str, database: Database) -> None:
    """Each adds one to what it read; on PostgreSQL writers otherwise run side by side."""
    with database.write() as connection:
        connection.execute(text("CREATE TABLE counts (n INTEGER)"))
        connection.execute(text("INSERT INTO counts VALUES (0)"))

    def add_one(_: int) -> None:
        with database.write(alone=True) as connection:
            n = connection.execute(text("SELECT n FROM counts")).scalar_one()
            connection.execute(text("UPDATE counts SET n = :n"), {"n": n + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, range(20)))
    with database.read() as connection:
        assert connection.execute(text("SELECT n FROM counts")).scalar() == 20


def test_a_reader_sees_one_state(database: Database) -> None:
    count = text("SELECT count(*) FROM api_keys WHERE name = 'a'")
    with database.read() as reader:
        assert reader.execute(count).scalar() == 0
        KeyStore(database).create("a")
        assert reader.execute(count).scalar() == 0


def test_a_server_that_does_not_answer_is_a_startup_error(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StartupError, match=r"cannot be opened: .*No such file or directory") as caught:
        Database(f"postgresql://user:pass-word@/name?host={tmp_path}").is_current()
    assert "pass-word" not in str(caught.value)


def test_a_file_of_something_else_is_a_startup_error(tmp_path: Path) -> None:
    (path := tmp_path / "ensue.db").write_text("hello " * 1000)
    with pytest.raises(StartupError, match="cannot be opened: file is not a database"):
        Database(sqlite_url(path)).is_current()


def test_a_deleted_file_is_written_to_no_more_and_a_restored_one_is_read_at_once(tmp_path: Path) -> None:
    folder, backup = tmp_path / "data", tmp_path / "backup"
    database, other = Database(sqlite_url(folder / "ensue.db")), Database(sqlite_url(backup / "ensue.db"))
    for each, name in ((database, "lost"), (other, "restored")):
        upgrade(each)
        KeyStore(each).create(name, KeyRights())
    other.close()
    folder.rename(tmp_path / "away")
    with pytest.raises(OperationalError, match="its file was deleted"), database.write():
        pytest.fail("written to a file that is gone")
    assert not folder.exists()
    backup.rename(folder)
    assert [key.name for key in KeyStore(database).all()] == ["restored"]
    database.close()
