"""What is behind `ensue keys`, and too slow to import for `--help`: the acts of the host on the keys of a database."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from ensue.cli.key_options import FLAGS
from ensue.cli.key_tables import print_key, print_keys, print_token
from ensue.cli.place import Place, database_of
from ensue.errors import ConfigError, InvalidRequest, shown
from ensue.rights import SCOPES
from ensue.store.api_key import ApiKey, describe
from ensue.store.audit import AuditLog
from ensue.store.key_admin import ADMIN, Actor, KeyAdmin, KeyChanges
from ensue.store.keys import KeyStore


@dataclass(frozen=True, slots=True)
class _Host:
    """This machine's hold on the keys."""

    keys: KeyStore
    admin: KeyAdmin
    actor: Actor

    def find(self, word: str) -> ApiKey:
        """
        Raises:
            ConfigError: no key or several have this name.
        """
        found = [key for key in self.keys.all() if key.id == word] or self.keys.named(word)
        if not found:
            raise ConfigError(f"There is no API key with the id or name {shown(word)!r}: see `ensue keys list`.")
        if len(found) > 1:
            raise ConfigError(f"{len(found)} API keys have the name {word!r}: give an id, see `ensue keys list`.")
        return found[0]


def create(place: Place, asked: Mapping[str, Any], *, is_admin: bool, as_json: bool) -> None:
    rights = dict(asked["rights"])
    if ADMIN in rights.get("scopes", ()) and not is_admin:
        raise ConfigError("An admin key is made by --admin, not by --scope admin.")
    if is_admin:
        rights["scopes"] = frozenset(rights.get("scopes", SCOPES)) | {ADMIN}
    with _host(place, may_make=True) as host:
        key, token = host.admin.create(host.actor, KeyChanges(asked["name"], asked["owner"], None, rights))
    _tell_token(key, token, as_json=as_json)


def list_all(place: Place, *, as_json: bool) -> None:
    with _host(place) as host:
        keys = host.keys.all()
    if as_json:
        _print_json([describe(key, time.time()) for key in keys])
    else:
        print_keys(keys)


def show(place: Place, word: str, *, as_json: bool) -> None:
    with _host(place) as host:
        _tell(host.find(word), as_json=as_json)


def update(place: Place, word: str, asked: Mapping[str, Any], *, as_json: bool) -> None:
    with _host(place) as host:
        _tell(host.admin.update(host.actor, host.find(word).id, KeyChanges(**asked)), as_json=as_json)


def rotate(place: Place, word: str, overlap_s: int, *, as_json: bool) -> None:
    with _host(place) as host:
        key, token = host.admin.rotate(host.actor, host.find(word).id, overlap_s)
    _tell_token(key, token, as_json=as_json)


def revoke(place: Place, word: str, *, as_json: bool) -> None:
    with _host(place) as host:
        _tell(host.admin.revoke(host.actor, host.find(word).id), as_json=as_json)


@contextmanager
def _host(place: Place, *, may_make: bool = False) -> Iterator[_Host]:
    """
    Args:
        may_make: a database that isn't there is made; else a mistyped folder is an error.

    Raises:
        ConfigError: there is no database, or a value that no key can have.
    """
    config = place.config
    with database_of(config, may_make=may_make) as database, closing(KeyStore(database)) as keys:
        try:
            yield _Host(keys, KeyAdmin(keys, AuditLog.of(config.server.data_dir)), Actor(f"host:{_user()}"))
        except InvalidRequest as error:
            flag = FLAGS.get(error.param or "", f"--{error.param}" if error.param else "")
            raise ConfigError(f"{flag}: {error.message}" if flag else error.message) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _tell(key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        _print_json(describe(key, time.time()))
    else:
        print_key(key)


def _tell_token(key: ApiKey, token: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(describe(key, time.time()) | {"key": token})
    else:
        print_key(key)
        print_token(token)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
