"""The public keys of an issuer of tokens: from a file or a URL, remembered, and asked for again when one is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import structlog

from ensue.errors import ConfigError, Overloaded
from ensue.hosts import is_loopback

LASTING_S = 300.0  # keys are used for this long without being asked for again
RETRY_AFTER_S = 10.0  # between two tries at least, however many tokens name a key that is not there
TIMEOUT_S = 5.0  # for a whole try, however slowly the issuer answers
MAX_BYTES = 2**20
MAX_KEYS = 100

log = structlog.get_logger("ensue.jwt")

Jwk = Mapping[str, Any]


class Jwks:
    """One set of keys."""

    def __init__(self, place: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigError for a URL that is not https; on loopback http will do."""
        self._place = place
        self._clock = clock
        self._keys: dict[str, Jwk] | None = None  # by key id
        self._tried_at = self._loaded_at = float("-inf")
        self._loading: asyncio.Task[None] | None = None  # the try that all who need one wait for
        self._url = httpx2.URL(place) if "://" in place else None
        if self._url is not None:
            _check_url(self._url)

    async def find(self, key_id: str) -> Jwk | None:
        """The key of that id; None where the issuer has none.

        Raises:
            Overloaded: there are no keys yet, and none can be had.
        """
        is_old, has_failed = self._clock() - self._loaded_at > LASTING_S, self._tried_at > self._loaded_at
        if self._keys is None or key_id not in self._keys:
            await self._load()
        elif is_old and has_failed:  # nobody who has a key waits for an issuer that doesn't answer
            self._begin_loading()
        elif is_old:
            await self._load()
        if self._keys is None:
            raise Overloaded("The keys of the tokens' issuer cannot be had.", retry_after_s=int(RETRY_AFTER_S))
        return self._keys.get(key_id)

    async def _load(self) -> None:
        """Ask again, where that was not just done. Who leaves ends no try that others wait for."""
        if (loading := self._begin_loading()) is not None:
            await asyncio.shield(loading)

    def _begin_loading(self) -> asyncio.Task[None] | None:
        if self._loading is None and self._clock() - self._tried_at >= RETRY_AFTER_S:
            self._loading = asyncio.create_task(self._try())
        return self._loading

    async def _try(self) -> None:
        """A failure leaves the keys as they are."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._keys = _parsed(await self._read())
            self._tried_at = self._loaded_at = self._clock()
        except (OSError, httpx2.HTTPError, ValueError) as error:
            log.error("the issuer's keys could not be read", reason=type(error).__name__)
            self._tried_at = self._clock()
        finally:
            self._loading = None

    async def _read(self) -> bytes:
        if self._url is None:
            return await asyncio.to_thread(_read_file, Path(self._place))
        async with (
            httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream("GET", self._url) as response,
        ):
            if response.status_code != 200:
                raise ValueError("not a 200")
            content = b""
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_BYTES:
                    raise ValueError("too long")
            return content


def _check_url(url: httpx2.URL) -> None:
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
        raise ConfigError("--jwt-jwks must be a file or an https URL: over anything else the keys could be exchanged.")


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def _parsed(content: bytes) -> dict[str, Jwk]:
    """The keys that sign and have an id."""
    try:
        entries = msgspec.json.decode(content)["keys"]
        keys = [entry for entry in entries[:MAX_KEYS] if entry.get("use", "sig") == "sig"]
        return {entry["kid"]: entry for entry in keys if isinstance(entry.get("kid"), str)}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no JSON Web Key Set") from None
