"""Databases of every earlier schema, with data in them, brought to the present one."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ensue.rights import KeyRights
from ensue.store.db import Database
from ensue.store.key_tokens import digest_of, make_token
from ensue.store.keys import KeyStore
from ensue.store.migrate import SCRIPTS, upgrade
from ensue.store.schema import REVISION

LIMITED = KeyRights(models=("llama-*",), max_n=2, allow_ips=("10.0.0.0/8",), scopes=frozenset(["chat"]))
OLD_KEY = {  # as each schema has it, without what it has beside
    "0001": "INSERT INTO api_keys (id, name, digest, hint, scopes, created_at, expires_at) "
    "VALUES ('key_1', 'old', :digest, 'abcd', '[\"chat\"]', 7, :expires_at)",
    "0002": "INSERT INTO api_keys (id, name, owner, digest, hint, scopes, models, max_n, priority, allow_ips, "
    "disabled, created_at, expires_at) VALUES "
    "('key_1', 'old', '', :digest, 'abcd', '[\"chat\"]', '[\"llama-*\"]', 2, 0, "
    "'[\"10.0.0.0/8\"]', false, 7, :expires_at)",
}
EXPECTED = {"0001": KeyRights(scopes=frozenset(["chat"]))}  # else LIMITED


def revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def bring_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    database.create_file()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def insert_old_key(database: Database, revision: str, token: str, expires_at: int) -> None:
    statement = OLD_KEY[max(known for known in OLD_KEY if known <= revision)]
    with database.write() as connection:
        connection.execute(text(statement), {"digest": digest_of(token), "expires_at": expires_at})


@pytest.mark.parametrize("revision", revisions())
async def test_a_key_of_an_earlier_schema_goes_on_as_it_was(url: str, revision: str) -> None:
    database, token, expires_at = Database(url), make_token(), int(time.time()) + 3600
    bring_to(database, revision)
    insert_old_key(database, revision, token, expires_at)
    upgrade(database)
    assert database.is_current()
    keys = KeyStore(database)
    key = await keys.authenticate(token)
    assert (key.id, key.name, key.owner, key.hint, key.created_at) == ("key_1", "old", "", "abcd", 7)
    assert key.rights == replace(EXPECTED.get(revision, LIMITED), expires_at=expires_at)
    keys.close()
    database.close()


def test_the_newest_migration_is_the_schemas() -> None:
    assert revisions()[-1] == REVISION


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_a_migration_can_be_taken_back(url: str, revision: str) -> None:
    database = Database(url)
    upgrade(database)
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    assert not database.is_current()
    upgrade(database)
    assert database.is_current()
    database.close()
