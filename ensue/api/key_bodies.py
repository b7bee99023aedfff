"""The bodies of /admin/keys: the only fields that a key may set of another, each with its kind. What the rights of the
key that asks make of them is `ensue.store.key_admin`'s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ensue.api.bodies import Body
from ensue.api.bounds import Bound
from ensue.api.fields import Boolean, Choice, Integer, ListOf, Schema, Text, as_int, param
from ensue.errors import InvalidRequest
from ensue.rights import LIMITS, MAX_ENTRIES, MAX_GLOB_LENGTH, MAX_OVERLAP_S, SCOPES, TIMES, KeyRights
from ensue.store.api_key import MAX_LABEL_LENGTH
from ensue.store.key_admin import ADMIN, KeyChanges
from ensue.times import LATEST, parse_time

DEFAULT_OVERLAP_S = 86_400
LIFTED = {**dict.fromkeys((*LIMITS, *TIMES)), "priority": 0, "allow_ips": ()}  # what null sets, in a change


class TimeKind:
    """Unix seconds, or a text that `ensue.times` reads; parsed to seconds."""

    schema: ClassVar[Schema] = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LATEST}, {"type": "string"}]}

    def parse(self, value: Any, path: str) -> int:
        number = as_int(value)
        if number is not None:
            return Integer(0, LATEST).parse(number, path)
        try:
            return parse_time(Text(64).parse(value, path), time.time())
        except ValueError as error:
            raise InvalidRequest(f"{path} must be Unix seconds, {error}.", param=path) from None


TIME, COUNT = TimeKind(), Integer(low=1)
BOUNDS = {  # that `KeyRights` and `ApiKey` check
    "name": Bound(chars=(1, MAX_LABEL_LENGTH)),
    "owner": Bound(chars=(0, MAX_LABEL_LENGTH)),
    "scopes": Bound(least=1),
    "models": Bound(entries=MAX_ENTRIES, least=1, chars=(1, MAX_GLOB_LENGTH)),
    "allow_ips": Bound(entries=MAX_ENTRIES),
}
HANDED_ON = Choice(tuple(scope for scope in SCOPES if scope != ADMIN))


@dataclass(frozen=True, slots=True)
class KeyBody(Body):
    """POST /admin/keys and PATCH /admin/keys/{key_id}."""

    name: str | None = param(Text(), None, "What people call it")
    owner: str | None = param(Text(), None, "Who has it")
    disabled: bool | None = param(Boolean(), None, "Opens nothing as long as this is true")
    scopes: tuple[str, ...] | None = param(ListOf(HANDED_ON), None, "What it is for")
    models: tuple[str, ...] | None = param(ListOf(Text()), None, "Names or globs of models")
    requests_per_minute: int | None = param(COUNT, None, "Requests that may start in a minute")
    tokens_per_minute: int | None = param(COUNT, None, "Prompt and completion tokens a minute")
    concurrent: int | None = param(COUNT, None, "Requests at once")
    token_budget: int | None = param(COUNT, None, "Tokens in all")
    token_budget_per_day: int | None = param(COUNT, None, "Tokens a day, UTC")
    token_budget_per_month: int | None = param(COUNT, None, "Tokens a month, UTC")
    max_tokens: int | None = param(COUNT, None, "The highest max_tokens")
    max_n: int | None = param(COUNT, None, "The highest n and best_of")
    priority: int | None = param(Integer(), None, "The most urgent priority, and the default; lower comes first")
    not_before: int | None = param(TIME, None, "When it begins to open")
    expires_at: int | None = param(TIME, None, "When it ends")
    allow_ips: tuple[str, ...] | None = param(ListOf(Text()), None, "Addresses or networks of use; none: from anywhere")


@dataclass(frozen=True, slots=True)
class RotateBody(Body):
    """POST /admin/keys/{key_id}/rotate."""

    overlap_s: int = param(Integer(0, MAX_OVERLAP_S), DEFAULT_OVERLAP_S, "Seconds that the old token goes on")


def changes(body: KeyBody, value: Mapping[str, Any], *, is_new: bool) -> KeyChanges:
    """What is asked for; in a body for a key that is there, null lifts a limit.

    Raises:
        InvalidRequest: null for what every key has.
    """
    given = {f.name: getattr(body, f.name) for f in fields(body) if f.name in value}
    for name in given:
        if given[name] is None and not is_new:
            if name not in LIFTED:
                raise InvalidRequest(f"{name} must not be null.", param=name)
            given[name] = LIFTED[name]
    names = {f.name for f in fields(KeyRights)}
    rights = {name: value for name, value in given.items() if name in names and (value is not None or not is_new)}
    if "scopes" in rights:
        rights["scopes"] = frozenset(rights["scopes"])
    return KeyChanges(body.name, body.owner, body.disabled, rights)
