"""What is known of an API key, and how it stands in its row."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Row

from ensue.errors import AuthenticationError, InvalidRequest
from ensue.rights import KeyRights

MAX_LABEL_LENGTH = 128
_RIGHTS = tuple(f.name for f in fields(KeyRights))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; not enough to use it.

    Raises:
        InvalidRequest: a name or an owner that no key can have.
    """

    id: str
    name: str
    owner: str
    hint: str  # the token's last characters
    rights: KeyRights
    created_at: int  # Unix seconds
    revoked_at: int | None = None
    disabled: bool = False
    maker: str | None = None  # id of the key that made it; None: made on the host
    old_until: int | None = None  # when the token before the last rotation ends
    is_outside: bool = False  # not of the database: a token's subject, or a secret that was supplied

    def __post_init__(self) -> None:
        _check_label("name", self.name, 1)
        _check_label("owner", self.owner, 0)

    def state(self, now: float) -> str:
        """One word for what `check` would say."""
        if self.revoked_at is not None:
            return "revoked"
        if self.disabled:
            return "disabled"
        try:
            self.rights.check_time(now)
        except AuthenticationError as error:
            return "expired" if error.code == "key_expired" else "not valid yet"
        return "active"

    def check(self, now: float) -> None:
        """Raises AuthenticationError for a key that opens nothing at this time."""
        if self.revoked_at is not None:
            raise AuthenticationError("This API key has been revoked.", code="key_revoked")
        if self.disabled:
            raise AuthenticationError("This API key is disabled.", code="invalid_api_key")
        self.rights.check_time(now)


def _check_label(name: str, text: str, low: int) -> None:
    if not low <= len(text) <= MAX_LABEL_LENGTH or not text.isprintable():
        raise InvalidRequest(f"{name} must have {low} to {MAX_LABEL_LENGTH} printable characters.", param=name)


def describe(key: ApiKey, now: float) -> dict[str, Any]:
    """A key as programs are told of it; its token is not known."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "hint": key.hint,
        "state": key.state(now),
        **columns_of(key.rights),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "disabled": key.disabled,
        "maker": key.maker,
        "old_until": key.old_until,
    }


def key_of(row: Row[Any]) -> ApiKey:
    values = {name: getattr(row, name) for name in _RIGHTS}
    sets = {"scopes": frozenset(row.scopes), "models": tuple(row.models), "allow_ips": tuple(row.allow_ips)}
    return ApiKey(
        id=row.id,
        name=row.name,
        owner=row.owner,
        hint=row.hint,
        rights=KeyRights(**{**values, **sets}),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        disabled=row.disabled,
        maker=row.maker,
        old_until=row.old_until,
    )


def columns_of(rights: KeyRights) -> dict[str, Any]:
    """The part of a row that says what a key may do."""
    values = {name: getattr(rights, name) for name in _RIGHTS}
    return values | {
        "scopes": sorted(rights.scopes),
        "models": list(rights.models),
        "allow_ips": list(rights.allow_ips),
    }
