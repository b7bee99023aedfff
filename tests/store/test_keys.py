"""API keys: what opens, what no longer does, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from ensue.errors import AuthenticationError, ConfigError, KeyNotFound, Overloaded
from ensue.rights import DEFAULT_SCOPES, KeyRights
from ensue.store import keys as keys_module
from ensue.store.db import Database
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


def test_the_token_stands_neither_in_the_file_nor_in_a_repr(keys: KeyStore, tmp_path: Path) -> None:
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
