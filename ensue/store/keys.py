"""API keys: made, found by their digest, revoked. A token is shown once, when made, and kept nowhere.

Unknown and wrong tokens take the same path: one digest, one indexed look-up, one constant-time comparison.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from ensue.errors import AuthenticationError, ConfigError, Overloaded
from ensue.store.db import Database
from ensue.store.schema import api_keys

TOKEN_PREFIX = "sk-ensue-"  # noqa: S105
TOKEN_LENGTH = len(TOKEN_PREFIX) + 43  # 62⁴³ > 2²⁵⁶
MIN_SUPPLIED_LENGTH = 16
DEFAULT_SCOPES = ("chat", "completions", "tokenize")
CACHE_S = 5.0  # how long a revoked key may go on working, at most
CACHE_SIZE = 10_000
_NUM_THREADS = 2
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NO_DIGEST = "0" * 64  # what an unknown token is compared with


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; not enough to use it."""

    id: str
    name: str
    hint: str  # the token's last characters
    scopes: frozenset[str]
    created_at: int  # Unix seconds
    expires_at: int | None = None
    revoked_at: int | None = None

    def check(self, now: float) -> None:
        """Raises AuthenticationError for a key that no longer opens anything."""
        if self.revoked_at is not None:
            raise AuthenticationError("This API key has been revoked.", code="key_revoked")
        if self.expires_at is not None and self.expires_at <= now:
            raise AuthenticationError("This API key has expired.", code="key_expired")


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
        self._supplied: dict[str, ApiKey] = {}  # by digest
        self._cache: dict[str, tuple[float, ApiKey]] = {}  # by digest, with the time of the look-up, oldest first
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="keys")

    def create(
        self, name: str, scopes: Collection[str] = DEFAULT_SCOPES, expires_at: int | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is its token, which can't be had again."""
        with self._database.write() as connection:
            return self._insert(connection, name, scopes, expires_at)

    def create_first_key(self, name: str = "first") -> str | None:
        """Make an ordinary key where there is none, and return its token; None where there are keys.

        Of processes that start together, one makes it.
        """
        with self._database.write() as connection:
            return None if _count(connection) else self._insert(connection, name, DEFAULT_SCOPES, None)[1]

    def count(self) -> int:
        """Number of keys in the database, revoked and expired ones too."""
        with self._database.read() as connection:
            return _count(connection)

    def revoke(self, key_id: str) -> bool:
        """Let a key open nothing from now on (elsewhere within `CACHE_S`); False if there is no such key."""
        now = int(self._now())
        with self._database.write() as connection:
            found = connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
        self._cache.clear()
        return found.rowcount == 1

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
        key = ApiKey(f"supplied_{name}", name, token[-4:], frozenset(DEFAULT_SCOPES), int(self._now()))
        self._supplied[_digest(token)] = key
        return key

    async def authenticate(self, token: str) -> ApiKey:
        """The key that a token belongs to, looked up off the event loop and remembered for `CACHE_S`.

        Raises:
            AuthenticationError: code invalid_api_key, key_revoked or key_expired.
            Overloaded: the database does not answer.
        """
        digest = _digest(token)
        key = self._supplied.get(digest) or self._remembered(digest) or await self._look_up(digest)
        key.check(self._now())
        return key

    def close(self) -> None:
        self._threads.shutdown()

    def _insert(
        self, connection: Connection, name: str, scopes: Collection[str], expires_at: int | None
    ) -> tuple[ApiKey, str]:
        token = make_token()
        key = ApiKey(
            id=f"key_{secrets.token_hex(12)}",
            name=name,
            hint=token[-4:],
            scopes=frozenset(scopes),
            created_at=int(self._now()),
            expires_at=expires_at,
        )
        values = {
            "id": key.id,
            "name": name,
            "digest": _digest(token),
            "hint": key.hint,
            "scopes": sorted(scopes),
            "created_at": key.created_at,
            "expires_at": expires_at,
        }
        connection.execute(insert(api_keys).values(values))
        return key, token

    def _remembered(self, digest: str) -> ApiKey | None:
        looked_up_at, key = self._cache.get(digest, (0.0, None))
        return key if key is not None and self._clock() - looked_up_at < CACHE_S else None

    async def _look_up(self, digest: str) -> ApiKey:
        looked_up_at = self._clock()
        key = await asyncio.get_running_loop().run_in_executor(self._threads, self._find, digest)
        if key is None:  # not remembered: guesses can't fill the cache
            raise AuthenticationError("Incorrect API key provided.", code="invalid_api_key")
        self._cache.pop(digest, None)
        while len(self._cache) >= CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        self._cache[digest] = (looked_up_at, key)
        return key

    def _find(self, digest: str) -> ApiKey | None:
        try:
            with self._database.read() as connection:
                row = connection.execute(select(api_keys).where(api_keys.c.digest == digest)).one_or_none()
        except DBAPIError:
            raise Overloaded("The key database does not answer.", retry_after_s=1) from None
        is_equal = hmac.compare_digest(row.digest if row else _NO_DIGEST, digest)
        if row is None or not is_equal:
            return None
        return ApiKey(row.id, row.name, row.hint, frozenset(row.scopes), row.created_at, row.expires_at, row.revoked_at)


def make_token() -> str:
    """`sk-ensue-` and 32 random bytes in base 62, always `TOKEN_LENGTH` characters."""
    number = int.from_bytes(secrets.token_bytes(32), "big")
    digits = []
    for _ in range(TOKEN_LENGTH - len(TOKEN_PREFIX)):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return TOKEN_PREFIX + "".join(reversed(digits))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(api_keys)).scalar_one()
