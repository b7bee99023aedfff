"""The database that the settings name, brought to the present schema."""

from __future__ import annotations

from pathlib import Path

from ensue.config import ServerConfig, StoreConfig
from ensue.store.db import Database, sqlite_url

DATABASE_FILE = "ensue.db"


def database_url(server: ServerConfig, store: StoreConfig) -> str:
    return store.database_url or sqlite_url(database_file(server))


def database_file(server: ServerConfig) -> Path:
    """Where it is if no URL is given."""
    return Path(server.data_dir).absolute() / DATABASE_FILE


def open_database(server: ServerConfig, store: StoreConfig) -> Database:
    """
    Raises:
        StartupError: it can't be opened or is of a later version.
    """
    database = Database(database_url(server, store))
    if not database.is_current():
        from ensue.store.migrate import upgrade  # loads Alembic, which an up-to-date database never needs

        upgrade(database)
    return database
