"""Who may use a route: its policy, and the guard that enforces it on every matched route."""

from __future__ import annotations

import asyncio
import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ensue.api.addresses import client_address
from ensue.api.context import context_of
from ensue.api.guesses import Guesses
from ensue.api.limits import KeyLimits
from ensue.config import ServerConfig
from ensue.errors import AuthenticationError, InvalidRequest, PermissionDenied, RateLimited, RequestError
from ensue.hosts import is_loopback
from ensue.store.api_key import ApiKey
from ensue.store.keys import KeyStore
from ensue.store.refusals import Refusal, RefusalLog

UNLIMITED_SCOPES = ("metrics", "admin")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#\s]+)")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route asks of a request."""

    needs_key: bool = True
    scope: str | None = None  # that the key must have
    checks_host: bool = True

    @property
    def is_limited(self) -> bool:
        """Whether requests count against the limits of their key."""
        return self.needs_key and self.scope not in UNLIMITED_SCOPES


KEY = Policy()
OPEN = Policy(needs_key=False)
PROBE = Policy(needs_key=False, checks_host=False)  # probes come by address and carry no key


def needs(scope: str) -> Policy:
    return Policy(scope=scope)


class TokenAuthenticator(Protocol):
    """What knows the keys that tokens of an issuer stand for."""

    async def authenticate(self, token: str) -> ApiKey: ...


def _is_jwt(token: str) -> bool:
    """Three parts; keys that are made here have no dots, those that were supplied may have some."""
    return token.count(".") == 2


class Gate:
    """Checks Host, Origin and key of a request. Without a key store nobody needs a key."""

    def __init__(
        self,
        server: ServerConfig,
        keys: KeyStore | None,
        guesses: Guesses,
        refusals: RefusalLog | None = None,
        tokens: TokenAuthenticator | None = None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._guesses = guesses
        self._refusals = refusals
        self._trusted_proxies = server.trusted_proxies
        self._slow_lane = asyncio.Semaphore(1)  # of all look-ups for addresses that guess
        self._allowed_hosts = _allowed_hosts(server)

    async def admit(self, scope: Scope, policy: Policy) -> ApiKey | None:
        """The key that the request carries, where one is needed.

        Raises:
            InvalidRequest, AuthenticationError, PermissionDenied, RateLimited: it may not pass.
        """
        address = client_address(scope, self._trusted_proxies)
        try:
            return await self._checked(Headers(scope=scope), address, policy)
        except (AuthenticationError, PermissionDenied, RateLimited) as error:
            self._note(scope, address, error)
            raise

    async def _checked(self, headers: Headers, address: str | None, policy: Policy) -> ApiKey | None:
        if policy.checks_host:
            self._check_host(headers)
        if self._keys is None:
            _refuse_foreign_origin(headers)
            return None
        if not policy.needs_key:
            return None
        token = _bearer_token(headers)
        key = await self._authenticate(self._source_of(token, self._keys), token, address)
        key.rights.check_address(address)
        if policy.scope is not None:
            key.rights.check_scope(policy.scope)
        return key

    def _source_of(self, token: str, keys: KeyStore) -> TokenAuthenticator:
        if self._tokens is None or not _is_jwt(token) or keys.is_supplied(token):
            return keys
        return self._tokens

    async def _authenticate(self, source: TokenAuthenticator, token: str, address: str | None) -> ApiKey:
        try:
            async with self._slow_lane if self._guesses.is_slowed(address) else nullcontext():
                return await source.authenticate(token)
        except AuthenticationError as error:
            if error.code == "invalid_api_key":
                await self._guesses.note(address)
            raise

    def _note(self, scope: Scope, address: str | None, error: RequestError) -> None:
        if self._refusals is not None:
            context = context_of(scope)
            path = str(scope["route"].path) if "route" in scope else ""
            self._refusals.note(Refusal(error.code or error.type, address or "", path, request_id=context.header))

    def _check_host(self, headers: Headers) -> None:
        """Against DNS rebinding, and against names that make a URL say something else than the path."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            raise InvalidRequest("The request must have one valid Host header.")
        if self._allowed_hosts and match[1].lower().rstrip(".") not in self._allowed_hosts:
            raise InvalidRequest("This Host is not served here: see --allowed-hosts.")


class Guard:
    """An ASGI app behind a policy."""

    def __init__(self, app: ASGIApp, gate: Gate, policy: Policy, limits: KeyLimits | None = None) -> None:
        self.policy = policy
        self._app = app
        self._gate = gate
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        context.key = await self._gate.admit(scope, self.policy)
        if self._limits is None or context.key is None or not self.policy.is_limited:
            await self._app(scope, receive, send)
            return
        visit = await self._limits.enter(context)
        try:
            await self._app(scope, receive, visit.leaving_before_end(send))
        finally:
            await visit.leave()


def _allowed_hosts(server: ServerConfig) -> frozenset[str]:
    """Names without ports; empty where any will do."""
    if server.allowed_hosts:
        return frozenset(host.lower() for host in server.allowed_hosts)
    if not is_loopback(server.host):
        return frozenset()
    own = f"[{server.host}]" if ":" in server.host else server.host
    return frozenset((*LOOPBACK_NAMES, own))


def _refuse_foreign_origin(headers: Headers) -> None:
    """Where no key is needed, a page of another site could use its visitor's server."""
    for origin in headers.getlist("origin"):
        match = _ORIGIN.fullmatch(origin)
        if match is None or match[1].lower() != headers.get("host", "").lower():
            raise PermissionDenied("Pages of other origins may not use this server.", code="foreign_origin")


def _bearer_token(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if not values:
        raise AuthenticationError("No API key was given: send Authorization: Bearer YOUR_KEY.")
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationError("The Authorization header must be one `Bearer YOUR_KEY`.", code="invalid_api_key")
    return token.strip()
