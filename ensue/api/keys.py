"""/admin/keys: what `ensue keys` does on the host, for keys with the scope admin and within their rights."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.bodies import Body
from ensue.api.body import BodyReader
from ensue.api.context import context_of
from ensue.api.key_bodies import KeyBody, RotateBody, changes
from ensue.api.params import read_body
from ensue.api.protocol import KeyList, KeyObject, KeyWithToken
from ensue.config import LimitsConfig
from ensue.store.api_key import ApiKey, describe
from ensue.store.key_admin import Actor, KeyAdmin
from ensue.store.keys import KeyStore

B = TypeVar("B", bound=Body)
NOT_KEPT = {"cache-control": "no-store"}  # an answer with a token


class KeysEndpoint:
    """The keys of the database."""

    def __init__(self, keys: KeyStore, admin: KeyAdmin, limits: LimitsConfig) -> None:
        self._keys = keys
        self._admin = admin
        self._limits = limits
        self._bodies = BodyReader(limits)

    async def list(self, _request: Request) -> Response:
        """All keys, the oldest first."""
        keys = await self._keys.run(self._keys.all)
        return _json(KeyList(data=[_object(key) for key in keys]))

    async def create(self, request: Request) -> Response:
        """Make a key; its token is told this once."""
        body, value = await self._read(request, KeyBody)
        asked = changes(body, value, is_new=True)
        key, token = await self._keys.run(self._admin.create, _actor(request), asked)
        return _json(_with_token(key, token), NOT_KEPT)

    async def get(self, request: Request) -> Response:
        """One key."""
        return _json(_object(await self._keys.run(self._keys.get, _key_id(request))))

    async def update(self, request: Request) -> Response:
        """Change the fields that are given; null lifts a limit."""
        body, value = await self._read(request, KeyBody)
        asked = changes(body, value, is_new=False)
        key = await self._keys.run(self._admin.update, _actor(request), _key_id(request), asked)
        return _json(_object(key))

    async def rotate(self, request: Request) -> Response:
        """Give a key another token, told this once; the old one goes on for `overlap_s`."""
        body, _ = await self._read(request, RotateBody)
        key, token = await self._keys.run(self._admin.rotate, _actor(request), _key_id(request), body.overlap_s)
        return _json(_with_token(key, token), NOT_KEPT)

    async def revoke(self, request: Request) -> Response:
        """End a key for ever; it stays in the list."""
        return _json(_object(await self._keys.run(self._admin.revoke, _actor(request), _key_id(request))))

    async def _read(self, request: Request, body: type[B]) -> tuple[B, dict[str, Any]]:
        """Unknown names are refused here whatever the server does with those of other bodies."""
        return await self._bodies.read(
            request, lambda value: (read_body(body, value, "refuse", self._limits)[0], value)
        )


def _actor(request: Request) -> Actor:
    key = context_of(request.scope).key
    assert key is not None, "the policy of these routes asks for one"
    return Actor(key.id, key.rights)


def _key_id(request: Request) -> str:
    return str(request.path_params["key_id"])


def _object(key: ApiKey) -> KeyObject:
    return KeyObject(**describe(key, time.time()))


def _with_token(key: ApiKey, token: str) -> KeyWithToken:
    return KeyWithToken(**describe(key, time.time()), key=token)


def _json(value: msgspec.Struct, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), headers=headers, media_type="application/json")
