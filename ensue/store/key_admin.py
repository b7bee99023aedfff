"""Who may do what to keys: every act on them, by the host or by a key with the scope admin, checked and written down.

The host may do anything. A key hands on no more than it has, touches no key that can do more, and no admin key at all:
those are made and managed on the host only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import structlog

from ensue.errors import EnsueError, InvalidRequest, Overloaded, PermissionDenied
from ensue.rights import KeyRights
from ensue.store.api_key import ApiKey
from ensue.store.audit import AuditLog
from ensue.store.audit_record import Details, Value
from ensue.store.keys import KeyStore

ADMIN = "admin"
_MAX_DETAIL = 1000  # characters of one value in the audit log
_LABELS = ("name", "owner", "disabled")

log = structlog.get_logger("ensue.store")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts."""

    name: str  # a key's id, host:USER, or server at its first start
    rights: KeyRights | None = None  # None: the host

    @property
    def maker(self) -> str | None:
        return None if self.rights is None else self.name


SERVER = Actor("server")


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What is asked for; None leaves a label as it is, and so does the absence of a right."""

    name: str | None = None
    owner: str | None = None
    disabled: bool | None = None
    rights: Mapping[str, Any] = field(default_factory=dict)  # of KeyRights' fields; a limit that is None is lifted
    drops_admin: bool = False  # else an admin key stays one, whatever its other scopes become

    def of(self, key: ApiKey) -> ApiKey:
        """The key with the changes.

        Raises:
            InvalidRequest: values that no key can have, or that this one can't get.
        """
        if key.revoked_at is not None and (self.rights or self.drops_admin or self.disabled is not None):
            raise InvalidRequest("This API key has been revoked, and that is for ever: make another one.")
        labels = {name: getattr(self, name) for name in _LABELS if getattr(self, name) is not None}
        rights = {**self.rights, "scopes": self._scopes_of(key)}
        return replace(key, rights=replace(key.rights, **rights), **labels)

    def _scopes_of(self, key: ApiKey) -> frozenset[str]:
        asked = frozenset(self.rights.get("scopes", key.rights.scopes))
        is_admin = ADMIN in key.rights.scopes
        if self.drops_admin and not is_admin:
            raise InvalidRequest("This API key does not have the scope admin.")
        if self.drops_admin and ADMIN in self.rights.get("scopes", ()):
            raise InvalidRequest("The scope admin can't be given and taken at once.", param="scopes")
        if ADMIN in asked and not is_admin:
            raise InvalidRequest("A key does not become an admin key: make one.", param="scopes")
        if self.drops_admin:
            return _some(asked - {ADMIN})
        if is_admin:
            return asked | {ADMIN}
        return _some(asked) if "scopes" in self.rights else asked


class KeyAdmin:
    """The acts; those of an HTTP server belong off its event loop.

    All raise InvalidRequest for bad values, PermissionDenied where the actor may not, KeyNotFound, Overloaded where the
    database does not answer, and where the audit log can't be written Overloaded or, to the host, EnsueError with the
    reason: then nothing is done.
    """

    def __init__(self, keys: KeyStore, audit: AuditLog, *, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self.audit = audit
        self._now = now

    def create(self, actor: Actor, asked: KeyChanges) -> tuple[ApiKey, str]:
        """Make a key within the actor's rights; the second value is its token."""
        self._refuse_the_past(asked)
        rights = _within(KeyRights(**asked.rights), actor)
        _some(rights.scopes)
        return self._keys.create(
            "key" if asked.name is None else asked.name,
            rights,
            owner=asked.owner or "",
            disabled=asked.disabled or False,
            maker=actor.maker,
            check=lambda key: self._write("key.created", actor, key, _details(key)),
        )

    def create_first(self) -> str | None:
        """Make the key of a server that has none, and return its token; None where there are keys."""
        return self._keys.create_first_key(check=lambda key: self._write("key.created", SERVER, key, _details(key)))

    def update(self, actor: Actor, key_id: str, asked: KeyChanges) -> ApiKey:
        """Change what is asked for, within the actor's rights."""
        self._refuse_the_past(asked)

        def change(key: ApiKey) -> ApiKey:
            _check_may_manage(actor, key)
            changed = asked.of(key)
            changed = replace(changed, rights=_within(changed.rights, actor))
            self._write("key.updated", actor, key, _differences(key, changed))
            return changed

        return self._keys.update(key_id, change)

    def rotate(self, actor: Actor, key_id: str, overlap_s: int) -> tuple[ApiKey, str]:
        """Give a key another token; the old one goes on for a time."""

        def check(key: ApiKey) -> None:
            _check_may_manage(actor, key)
            self._write("key.rotated", actor, key, {"overlap_s": overlap_s})

        return self._keys.rotate(key_id, overlap_s, check)

    def revoke(self, actor: Actor, key_id: str) -> ApiKey:
        """End a key for ever, one with more rights than the actor's, too."""

        def check(key: ApiKey) -> None:
            _check_is_no_admin(actor, key)
            self._write("key.revoked", actor, key, {})

        return self._keys.revoke(key_id, check)

    def _refuse_the_past(self, asked: KeyChanges) -> None:
        expires_at = asked.rights.get("expires_at")
        if expires_at is not None and expires_at <= self._now():
            raise InvalidRequest("expires_at must be in the future.", param="expires_at")

    def _write(self, event: str, actor: Actor, key: ApiKey, details: Details) -> None:
        """Within the transaction: an act that can't be written down does not happen."""
        try:
            self.audit.append(event, actor=actor.name, target=key.id, details=details)
        except EnsueError as error:
            if actor.rights is None:
                raise
            log.error("an act on a key could not be written down", reason=error.message)  # with a path: not for clients
            raise Overloaded("The audit log cannot be written: nothing was changed.", retry_after_s=10) from error


def _some(scopes: frozenset[str]) -> frozenset[str]:
    if not scopes:
        raise InvalidRequest("A key must have at least one scope.", param="scopes")
    return scopes


def _within(rights: KeyRights, actor: Actor) -> KeyRights:
    """What the actor may hand on of these."""
    if actor.rights is None:
        return rights
    if ADMIN in rights.scopes:
        raise InvalidRequest("Admin keys are made on the host only, by `ensue keys create --admin`.", param="scopes")
    return rights.within(actor.rights)


def _check_is_no_admin(actor: Actor, key: ApiKey) -> None:
    if actor.rights is not None and ADMIN in key.rights.scopes:
        raise PermissionDenied("Admin keys are managed on the host only, by `ensue keys`.")


def _check_may_manage(actor: Actor, key: ApiKey) -> None:
    _check_is_no_admin(actor, key)
    if actor.rights is not None and not key.rights.is_within(actor.rights):
        raise PermissionDenied("This API key may do more than yours, which may only revoke it.")


def _details(key: ApiKey) -> dict[str, Value]:
    """What was made, without what says nothing."""
    rights = {f.name: getattr(key.rights, f.name) for f in fields(KeyRights)}
    values = {"name": key.name, "owner": key.owner, "disabled": key.disabled, **rights}
    return {name: _short(value) for name, value in values.items() if value not in (None, "", (), False)}


def _differences(old: ApiKey, new: ApiKey) -> dict[str, Value]:
    """The changed values."""
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in _LABELS}
    pairs |= {f.name: (getattr(old.rights, f.name), getattr(new.rights, f.name)) for f in fields(KeyRights)}
    return {name: _short(after) for name, (before, after) in pairs.items() if before != after}


def _short(value: Any) -> Value:
    if isinstance(value, frozenset | tuple):
        value = " ".join(sorted(value) if isinstance(value, frozenset) else value)
    return value[:_MAX_DETAIL] if isinstance(value, str) else value
