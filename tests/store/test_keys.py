"""API keys: what opens, what no longer does, and what is kept of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from ensue.errors import AuthenticationError, ConfigError, EnsueError, InvalidRequest, KeyNotFound, Overloaded
from ensue.rights import DEFAULT_SCOPES, KeyRights
from ensue.store import keys as keys_module
from ensue.store.audit import AuditLog
from ensue.store.db import Database
from ensue.store.key_admin import KeyAdmin
from ensue.store.key_tokens import TOKEN_LENGTH, make_token
from ensue.store.keys import CACHE_S, KeyStore


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, clock: Clock) -> Iterator[KeyStore]:
    keys = KeyStore(database, clock=clock, now=clock)
    yield keys
    keys.close()


async def refusal(keys: KeyStore, token: str) -> str | None:
    with pytest.raises(AuthenticationError) as caught:
        await keys.authenticate(token)
    return caught.value.code


async def test_a_key_opens_with_its_token(keys: KeyStore) -> None:
    key, token = keys.create("mine")
    assert await keys.authenticate(token) == key
    assert key.rights.scopes == frozenset(DEFAULT_SCOPES)
    assert key.hint == token[-4:]


def test_tokens_are_random_and_of_one_length() -> None:
    tokens = {make_token() for _ in range(200)}
    assert len(tokens) == 200
    assert {len(token) for token in tokens} == {TOKEN_LENGTH}
    assert all(token.startswith("sk-ensue-") and token[9:].isalnum() for token in tokens)


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: token[:-1],
        lambda token: token.swapcase(),
        lambda token: token + " ",
        lambda token: token[:41] + "0" * 11,  # shares the first 32 characters of its random part
        lambda token: "' OR 1=1 --",
        lambda token: "\ud800" + "x" * 100_000,
    ],
)
async def test_any_other_token_is_unknown(keys: KeyStore, change: Callable[[str], str]) -> None:
    _, token = keys.create("mine")
    assert await refusal(keys, change(token)) == "invalid_api_key"


def test_the_token_stands_neither_in_the_file_nor_in_a_repr(sqlite_database: Database, tmp_path: Path) -> None:
    keys = KeyStore(sqlite_database)
    key, token = keys.create("mine")
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert key.id.encode() in stored
    assert token.encode() not in stored
    assert token[9:] not in repr((key, keys))


async def test_a_revoked_key_is_refused_at_once(keys: KeyStore) -> None:
    key, token = keys.create("mine")
    await keys.authenticate(token)
    keys.revoke(key.id)
    assert await refusal(keys, token) == "key_revoked"
    with pytest.raises(KeyNotFound):
        keys.revoke("key_unknown")


async def test_a_key_revoked_by_another_process_is_refused_within_the_cache_time(
    keys: KeyStore, database: Database, clock: Clock
) -> None:
    key, token = keys.create("mine")
    await keys.authenticate(token)
    KeyStore(database).revoke(key.id)
    clock.time += CACHE_S - 0.1
    await keys.authenticate(token)
    clock.time += 0.2
    assert await refusal(keys, token) == "key_revoked"


async def test_an_expired_key_is_refused_even_from_the_cache(keys: KeyStore, clock: Clock) -> None:
    _, token = keys.create("mine", KeyRights(expires_at=int(clock.time) + 2))
    await keys.authenticate(token)
    clock.time += 2
    assert await refusal(keys, token) == "key_expired"


async def test_the_cache_spares_the_database(keys: KeyStore, database: Database) -> None:
    key, token = keys.create("mine")
    await keys.authenticate(token)
    with database.write() as connection:
        connection.execute(text("DELETE FROM api_keys"))
    assert await keys.authenticate(token) == key


async def test_the_cache_is_bounded_and_drops_the_oldest(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "CACHE_SIZE", 2)
    tokens = [keys.create(str(i))[1] for i in range(3)]
    for token in tokens:
        await keys.authenticate(token)
    for token in ("x" * 20, "y" * 20):
        await refusal(keys, token)
    assert [found.key.name for _, found in keys._cache.values()] == ["1", "2"]


async def test_the_first_key_is_ordinary_and_made_once(keys: KeyStore) -> None:
    token = keys.create_first_key()
    assert token is not None
    assert (await keys.authenticate(token)).rights.scopes == frozenset(DEFAULT_SCOPES)
    assert keys.create_first_key() is None
    assert keys.count() == 1


def test_the_making_of_the_first_key_is_written_down(keys: KeyStore, tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "audit.jsonl")
    assert KeyAdmin(keys, audit).create_first() is not None
    assert KeyAdmin(keys, audit).create_first() is None
    (record,) = audit.read()
    assert (record.event, record.actor, record.target) == ("key.created", "server", keys.all()[0].id)


def test_a_first_key_that_can_not_be_written_down_is_not_made(keys: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(EnsueError):
        KeyAdmin(keys, AuditLog(tmp_path)).create_first()  # a folder
    assert keys.count() == 0


def test_of_processes_that_start_together_one_makes_the_first_key(url: str, database: Database) -> None:
    stores = [KeyStore(Database(url)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        tokens = list(pool.map(KeyStore.create_first_key, stores))
    assert sum(token is not None for token in tokens) == 1
    assert stores[0].count() == 1
    for store in stores:
        store.close()
        store._database.close()


async def test_a_supplied_secret_opens_beside_the_keys_of_the_database(keys: KeyStore) -> None:
    secret = "mounted-secret-0001"
    key = keys.add_secret(secret, "file")
    assert await keys.authenticate(secret) is key
    assert keys.count() == 0
    assert secret not in repr(key)


@pytest.mark.parametrize(
    "secret", ["", "fifteen-letters", "with a space in it", "sixteen-letters\n", "schlüssel-schlüssel"]
)
def test_a_poor_secret_is_a_config_error_that_does_not_show_it(keys: KeyStore, secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.add_secret(secret, "file")
    assert not secret or secret not in str(caught.value)


async def test_a_database_that_fails_is_an_overload_not_a_refusal(keys: KeyStore, database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("DROP TABLE api_keys"))
    with pytest.raises(Overloaded):
        await keys.authenticate("x" * 20)


def test_of_many_processes_that_start_together_one_makes_the_first_key(url: str) -> None:
    """As `ensue serve` does it, migration included."""
    code = (
        "import sys; from ensue.store.db import Database; from ensue.store.keys import KeyStore; "
        "from ensue.store.migrate import upgrade; database = Database(sys.argv[1]); upgrade(database); "
        "sys.stdin.read(); print(KeyStore(database).create_first_key())"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.close()  # now they go on
        start.stdin = None
    tokens = [start.communicate(timeout=60)[0].strip() for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert sorted(token.startswith("sk-ensue-") for token in tokens) == [False, False, True]


RIGHTS = KeyRights(
    scopes=frozenset(["chat"]),
    models=("llama-*", "other"),
    requests_per_minute=1,
    tokens_per_minute=2**63 - 1,
    concurrent=3,
    token_budget=4,
    token_budget_per_day=5,
    token_budget_per_month=6,
    max_tokens=7,
    max_n=8,
    priority=-9,
    not_before=10,
    expires_at=2**40,
    allow_ips=("10.0.0.0/8", "::1/128"),
)


async def test_a_key_is_kept_with_all_that_belongs_to_it(keys: KeyStore) -> None:
    key, token = keys.create("mine", RIGHTS, owner="team ä", maker="key_0")
    assert keys.get(key.id) == keys.all()[0] == keys.named("mine")[0] == await keys.authenticate(token) == key
    assert (key.rights, key.owner, key.maker) == (RIGHTS, "team ä", "key_0")


async def test_a_key_is_changed_field_by_field(keys: KeyStore) -> None:
    key, token = keys.create("mine")
    await keys.authenticate(token)
    changed = replace(key, name="yours", owner="them", disabled=False, rights=RIGHTS)
    assert keys.update(key.id, lambda found: replace(found, name="yours", owner="them", rights=RIGHTS)) == changed
    assert await keys.authenticate(token) == changed


async def test_a_disabled_key_is_refused_until_it_is_enabled(keys: KeyStore) -> None:
    key, token = keys.create("mine")
    keys.update(key.id, lambda found: replace(found, disabled=True))
    assert await refusal(keys, token) == "invalid_api_key"
    keys.update(key.id, lambda found: replace(found, disabled=False))
    assert await keys.authenticate(token) == key


def test_changes_at_the_same_time_lose_nothing(url: str, keys: KeyStore) -> None:
    key, _ = keys.create("mine", KeyRights(max_n=1))
    stores = [KeyStore(Database(url)) for _ in range(4)]

    def add_one(store: KeyStore) -> None:
        for _ in range(5):
            store.update(key.id, lambda k: replace(k, rights=replace(k.rights, max_n=(k.rights.max_n or 0) + 1)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, stores))
    assert keys.get(key.id).rights.max_n == 21
    for store in stores:
        store.close()
        store._database.close()


async def test_a_rotated_key_opens_with_both_tokens_until_the_overlap_ends(keys: KeyStore, clock: Clock) -> None:
    key, old = keys.create("mine", RIGHTS)
    rotated, token = keys.rotate(key.id, 60)
    assert (rotated.id, rotated.rights, rotated.hint) == (key.id, key.rights, token[-4:])
    assert await keys.authenticate(old) == await keys.authenticate(token) == rotated
    clock.time += 60
    assert await refusal(keys, old) == "key_expired"
    assert await keys.authenticate(token) == rotated


async def test_a_second_rotation_ends_the_first_token(keys: KeyStore) -> None:
    key, first = keys.create("mine")
    second = keys.rotate(key.id, 60)[1]
    third = keys.rotate(key.id, 60)[1]
    assert await refusal(keys, first) == "invalid_api_key"
    assert (await keys.authenticate(second)).id == (await keys.authenticate(third)).id == key.id


async def test_a_rotation_without_overlap_ends_the_old_token_at_once(keys: KeyStore) -> None:
    key, old = keys.create("mine")
    await keys.authenticate(old)
    keys.rotate(key.id, 0)
    assert await refusal(keys, old) == "key_expired"


async def test_a_revoked_key_is_revoked_under_both_tokens_and_for_ever(keys: KeyStore, clock: Clock) -> None:
    key, old = keys.create("mine")
    token = keys.rotate(key.id, 60)[1]
    revoked = keys.revoke(key.id)
    clock.time += 1
    assert keys.revoke(key.id) == revoked
    assert {await refusal(keys, one) for one in (old, token)} == {"key_revoked"}
    with pytest.raises(InvalidRequest, match="for ever"):
        keys.rotate(key.id, 60)


@pytest.mark.parametrize("call", ["get", "revoke"])
def test_a_key_that_is_not_there_is_not_found(keys: KeyStore, call: str) -> None:
    with pytest.raises(KeyNotFound):
        getattr(keys, call)("' OR 1=1 --")


@pytest.mark.parametrize("label", ["x" * 129, "a\nb", "\x1b[31m", "\x00"])
def test_a_name_is_short_and_printable(keys: KeyStore, label: str) -> None:
    for name, owner, field in ((label, "", "name"), ("x", label, "owner"), ("", "", "name")):
        with pytest.raises(InvalidRequest) as caught:
            keys.create(name, owner=owner)
        assert caught.value.param == field
