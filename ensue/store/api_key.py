"""What is known of an API key, and how it stands in its row."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Row

from ensue.errors import AuthenticationError, InvalidRequest
from ensue.rights import KeyRights

MAX_NAME_LENGTH = 128  # of an owner, too
_RIGHTS = tuple(f.name for f in fields(KeyRights))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; not enough to use it."""

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

    def check(self, now: float) -> None:
        """Raises AuthenticationError for a key that opens nothing at this time."""
        if self.revoked_at is not None:
            raise AuthenticationError("This API key has been revoked.", code="key_revoked")
        if self.disabled:
            raise AuthenticationError("This API key is disabled.", code="invalid_api_key")
        self.rights.check_time(now)


def check_label(name: str, text: str, *, may_be_empty: bool = False) -> str:
    """The text, where it can be a name or an owner.

    Raises:
        InvalidRequest: with `name` as the field.
    """
    low = 0 if may_be_empty else 1
    if not low <= len(text) <= MAX_NAME_LENGTH or not text.isprintable():
        raise InvalidRequest(f"{name} must have {low} to {MAX_NAME_LENGTH} printable characters.", param=name)
    return text


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
