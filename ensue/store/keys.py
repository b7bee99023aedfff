"""API keys: made, changed, found by their digest, revoked. A token is shown once, when made, and kept nowhere.

Unknown and wrong tokens take the same path: one digest, one indexed look-up, one constant-time comparison.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from ensue.errors import AuthenticationError, ConfigError, InvalidRequest, KeyNotFound, Overloaded
from ensue.rights import KeyRights
from ensue.store.api_key import ApiKey, columns_of, key_of
from ensue.store.db import Database
from ensue.store.key_tokens import digest_of, hint_of, make_token
from ensue.store.schema import api_keys

MIN_SUPPLIED_LENGTH = 16
CACHE_S = 5.0  # how long a key may go on as it was before a change, at most
CACHE_SIZE = 10_000
_NUM_THREADS = 2
_NO_DIGEST = "0" * 64  # what an unknown token is compared with

P = ParamSpec("P")
T = TypeVar("T")
Check = Callable[[ApiKey], object]  # called in the transaction; what it raises undoes everything


@dataclass(frozen=True, slots=True)
class _Found:
    """What a token was found to open."""

    key: ApiKey
    until: int | None  # when this token ends, though the key may go on

    def check(self, now: float) -> ApiKey:
        if self.until is not None and self.until <= now:
            raise AuthenticationError("This API key has been replaced by another one.", code="key_expired")
        self.key.check(now)
        return self.key


class KeyStore:
    """The keys of a database, and those supplied by other means."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._now = now
        self._supplied: dict[str, _Found] = {}  # by digest
        self._cache: dict[str, tuple[float, _Found]] = {}  # by digest, with the time of the look-up, oldest first
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="keys")

    # ---- the host's side: these calls block

    def create(
        self,
        name: str,
        rights: KeyRights | None = None,
        *,
        owner: str = "",
        disabled: bool = False,
        maker: str | None = None,
        check: Check = lambda _: None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is its token, which can't be had again.

        Raises:
            InvalidRequest: a name or an owner that no key can have.
            EnsueError: what `check` raises of the key, and then there is none.
        """
        token = make_token()
        key = self._key(name, token, rights or KeyRights(), owner=owner, disabled=disabled, maker=maker)
        with self._writing() as connection:
            check(key)
            _insert(connection, key, token)
        return key, token

    def create_first_key(self, name: str = "first", check: Check = lambda _: None) -> str | None:
        """Make an ordinary key where there is none, and return its token; None where there are keys.

        Of processes that start together, one makes it.

        Raises:
            EnsueError: what `check` raises of the key, and then there is none.
        """
        token = make_token()
        key = self._key(name, token, KeyRights())
        with self._database.write(alone=True) as connection:
            if _count(connection):
                return None
            check(key)
            _insert(connection, key, token)
        return token

    def count(self) -> int:
        """Number of keys in the database, revoked and expired ones too."""
        with self._database.read() as connection:
            return _count(connection)

    def all(self) -> list[ApiKey]:
        """Every key, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))
            return [key_of(row) for row in rows]

    def get(self, key_id: str) -> ApiKey:
        """Raises KeyNotFound."""
        with self._reading() as connection:
            return _get(connection, key_id)

    def named(self, name: str) -> list[ApiKey]:
        """The keys that have this name, the oldest first."""
        return [key for key in self.all() if key.name == name]

    def update(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        """Set name, owner, rights and whether it is disabled to those of what `change` makes of the key.

        Raises:
            KeyNotFound: there is none.
            EnsueError: what `change` raises.
        """
        with self._writing() as connection:
            key = change(_get(connection, key_id, is_locked=True))
            values = {"name": key.name, "owner": key.owner, "disabled": key.disabled, **columns_of(key.rights)}
            connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(values))
        return key

    def rotate(self, key_id: str, overlap_s: int, check: Check = lambda _: None) -> tuple[ApiKey, str]:
        """Give a key another token; its present one goes on for `overlap_s`, one of an earlier rotation ends at once.

        Raises:
            KeyNotFound: there is none.
            InvalidRequest: it has been revoked.
            EnsueError: what `check` raises of the key as it is.
        """
        token, until = make_token(), int(self._now()) + overlap_s
        with self._writing() as connection:
            key = _get(connection, key_id, is_locked=True)
            if key.revoked_at is not None:
                raise InvalidRequest("This API key has been revoked, and that is for ever: make another one.")
            check(key)
            present = select(api_keys.c.digest).where(api_keys.c.id == key_id)
            values = {
                "digest": digest_of(token),
                "hint": hint_of(token),
                "old_digest": connection.execute(present).scalar_one(),
                "old_until": until,
            }
            connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(values))
        return replace(key, hint=hint_of(token), old_until=until), token

    def revoke(self, key_id: str, check: Check = lambda _: None) -> ApiKey:
        """Let a key open nothing from now on (elsewhere within `CACHE_S`), for ever.

        Raises:
            KeyNotFound: there is none.
            EnsueError: what `check` raises of the key as it is.
        """
        with self._writing() as connection:
            key = _get(connection, key_id, is_locked=True)
            check(key)
            if key.revoked_at is None:
                key = replace(key, revoked_at=int(self._now()))
                values = {"revoked_at": key.revoked_at}
                connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(values))
        return key

    def add_secret(self, token: str, name: str) -> ApiKey:
        """Accept a token that was made elsewhere, such as a mounted secret, as long as this object lives.

        Raises:
            ConfigError: too short, or with characters that no header can carry.
        """
        if len(token) < MIN_SUPPLIED_LENGTH or not all("!" <= character <= "~" for character in token):
            raise ConfigError(
                f"A supplied API key must have at least {MIN_SUPPLIED_LENGTH} characters, "
                "all of them printable ASCII without spaces."
            )
        key = ApiKey(f"supplied_{name}", name, "", hint_of(token), KeyRights(), int(self._now()), is_outside=True)
        self._supplied[digest_of(token)] = _Found(key, None)
        return key

    # ---- the server's side: nothing blocks

    def is_supplied(self, token: str) -> bool:
        """Whether it is one of `add_secret`, whatever it looks like."""
        return digest_of(token) in self._supplied

    async def authenticate(self, token: str) -> ApiKey:
        """The key that a token belongs to, looked up off the event loop and remembered for `CACHE_S`.

        Raises:
            AuthenticationError: code invalid_api_key, key_revoked or key_expired.
            Overloaded: the database does not answer.
        """
        digest = digest_of(token)
        found = self._supplied.get(digest) or self._remembered(digest) or await self._look_up(digest)
        return found.check(self._now())

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """One of the blocking calls above, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args, **kwargs))

    def close(self) -> None:
        self._threads.shutdown()

    # ---- inside

    def _key(
        self,
        name: str,
        token: str,
        rights: KeyRights,
        *,
        owner: str = "",
        disabled: bool = False,
        maker: str | None = None,
    ) -> ApiKey:
        return ApiKey(
            id=f"key_{secrets.token_hex(12)}",
            name=name,
            owner=owner,
            hint=hint_of(token),
            rights=rights,
            created_at=int(self._now()),
            disabled=disabled,
            maker=maker,
        )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _answering(), self._database.read() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _answering(), self._database.write() as connection:
            yield connection
        self._cache.clear()

    def _remembered(self, digest: str) -> _Found | None:
        looked_up_at, found = self._cache.get(digest, (0.0, None))
        return found if found is not None and self._clock() - looked_up_at < CACHE_S else None

    async def _look_up(self, digest: str) -> _Found:
        looked_up_at = self._clock()
        found = await self.run(self._find, digest)
        if found is None:  # not remembered: guesses can't fill the cache
            raise AuthenticationError("Incorrect API key provided.", code="invalid_api_key")
        self._cache.pop(digest, None)
        while len(self._cache) >= CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        self._cache[digest] = (looked_up_at, found)
        return found

    def _find(self, digest: str) -> _Found | None:
        is_either = or_(api_keys.c.digest == digest, api_keys.c.old_digest == digest)
        with self._reading() as connection:
            row = connection.execute(select(api_keys).where(is_either)).one_or_none()
        is_present = hmac.compare_digest(row.digest if row else _NO_DIGEST, digest)
        is_old = hmac.compare_digest((row.old_digest if row else None) or _NO_DIGEST, digest)
        if row is None or not (is_present or is_old):
            return None
        return _Found(key_of(row), None if is_present else row.old_until)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except DBAPIError:
        raise Overloaded("The key database does not answer.", retry_after_s=1) from None


def _insert(connection: Connection, key: ApiKey, token: str) -> None:
    values = {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "maker": key.maker,
        "digest": digest_of(token),
        "hint": key.hint,
        "created_at": key.created_at,
        "disabled": key.disabled,
        **columns_of(key.rights),
    }
    connection.execute(insert(api_keys).values(values))


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(api_keys)).scalar_one()


def _get(connection: Connection, key_id: str, *, is_locked: bool = False) -> ApiKey:
    """
    Args:
        is_locked: nobody else may change the row before this transaction ends; SQLite's writers are alone anyhow.
    """
    query = select(api_keys).where(api_keys.c.id == key_id)
    row = connection.execute(query.with_for_update() if is_locked else query).one_or_none()
    if row is None:
        raise KeyNotFound("There is no API key with this id.")
    return key_of(row)
