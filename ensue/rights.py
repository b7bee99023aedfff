"""What an API key may do: the words that the store, the limits and the API share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ensue import globs, networks
from ensue.errors import AuthenticationError, InvalidRequest, PermissionDenied, shown

SCOPES = ("completions", "chat", "tokenize", "metrics", "admin")
DEFAULT_SCOPES = ("chat", "completions", "tokenize")
LIMITS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent",
    "token_budget",
    "token_budget_per_day",
    "token_budget_per_month",
    "max_tokens",
    "max_n",
)
TIMES = ("not_before", "expires_at")
MAX_ENTRIES = 64  # models, and networks, of one key
MAX_GLOB_LENGTH = 256
LARGEST = 2**63 - 1
MAX_OVERLAP_S = 365 * 86_400  # of a rotated key's old token


@dataclass(frozen=True, slots=True)
class KeyRights:
    """Scopes, models, limits and the time and place of their use; None: no limit.

    Raises:
        InvalidRequest: a value that no key can have, with its name as `param`.
    """

    scopes: frozenset[str] = frozenset(DEFAULT_SCOPES)
    models: tuple[str, ...] = ("*",)  # globs on canonical names and aliases
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None  # requests at once
    token_budget: int | None = None  # in all
    token_budget_per_day: int | None = None  # UTC
    token_budget_per_month: int | None = None
    max_tokens: int | None = None  # a choice
    max_n: int | None = None  # n and best_of
    priority: int = 0  # the lowest that a request may ask for, and its default; lower comes first
    not_before: int | None = None  # Unix seconds
    expires_at: int | None = None
    allow_ips: tuple[str, ...] = ()  # networks in CIDR form; none: from anywhere

    def __post_init__(self) -> None:
        _check_scopes(self.scopes)
        _check_models(self.models)
        for name in LIMITS:
            _check_number(name, getattr(self, name), 1)
        for name in TIMES:
            _check_number(name, getattr(self, name), 0)
        _check_number("priority", self.priority, -LARGEST - 1)
        if self.not_before is not None and self.expires_at is not None and self.not_before >= self.expires_at:
            raise InvalidRequest("expires_at must be after not_before.", param="expires_at")
        object.__setattr__(self, "models", tuple(dict.fromkeys(self.models)))
        object.__setattr__(self, "allow_ips", _canonical_networks(self.allow_ips))

    # ---- questions that a request puts

    def check_time(self, now: float) -> None:
        """Raises AuthenticationError before and after the time of use."""
        if self.expires_at is not None and self.expires_at <= now:
            raise AuthenticationError("This API key has expired.", code="key_expired")
        if self.not_before is not None and now < self.not_before:
            raise AuthenticationError("This API key is not valid yet.", code="invalid_api_key")

    def check_address(self, address: str | None) -> None:
        """Raises PermissionDenied for an address that no allowed network holds; None is an unknown one."""
        if self.allow_ips and not networks.holds(self.allow_ips, address):
            raise PermissionDenied("This API key may not be used from this address.")

    def check_scope(self, scope: str) -> None:
        """Raises PermissionDenied where the scope is missing."""
        if scope not in self.scopes:
            raise PermissionDenied(f"This API key does not have the scope {scope}.")

    def may_use_model(self, names: Iterable[str]) -> bool:
        """Whether a model with these names, canonical and aliases, is within the key's models."""
        return any(globs.matches(glob, name) for name in names for glob in self.models)

    # ---- rights only shrink

    def is_within(self, maker: KeyRights) -> bool:
        """Whether a key with these rights can do nothing that `maker` can't; False also where that is not provable."""
        try:
            return self.within(maker) == self
        except (InvalidRequest, PermissionDenied):
            return False

    def within(self, maker: KeyRights) -> KeyRights:
        """What both allow.

        Raises:
            PermissionDenied: nothing would be left, with the field as `param`.
        """
        return KeyRights(
            scopes=frozenset(_some("scopes", self.scopes & maker.scopes)),
            models=tuple(_some("models", globs.intersect(self.models, maker.models))),
            **{name: _least(getattr(self, name), getattr(maker, name)) for name in LIMITS},
            priority=max(self.priority, maker.priority),
            not_before=max((t for t in (self.not_before, maker.not_before) if t is not None), default=None),
            expires_at=_least(self.expires_at, maker.expires_at),
            allow_ips=_common_networks(self.allow_ips, maker.allow_ips),
        )


def _check_scopes(scopes: frozenset[str]) -> None:
    for scope in sorted(scopes - set(SCOPES)):
        raise InvalidRequest(f"There is no scope `{shown(scope)}`: choose from {', '.join(SCOPES)}.", param="scopes")


def _check_models(models: tuple[str, ...]) -> None:
    if not models or len(models) > MAX_ENTRIES:
        raise InvalidRequest(f"models must have 1 to {MAX_ENTRIES} entries.", param="models")
    if not all(0 < len(glob) <= MAX_GLOB_LENGTH and glob.isprintable() and globs.is_valid(glob) for glob in models):
        raise InvalidRequest(
            f"models must be names or globs of 1 to {MAX_GLOB_LENGTH} printable characters.", param="models"
        )


def _check_number(name: str, value: int | None, low: int) -> None:
    if value is not None and not low <= value <= LARGEST:
        at_least = f"at least {low} and " if low >= 0 else ""
        raise InvalidRequest(f"{name} must be {at_least}below 2^63.", param=name)


def _some(name: str, left: Any) -> Any:
    if not left:
        raise PermissionDenied(f"Nothing of these {name} is within the rights of the key that asks.", param=name)
    return left


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _canonical_networks(given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) > MAX_ENTRIES:
        raise InvalidRequest(f"allow_ips may have at most {MAX_ENTRIES} entries.", param="allow_ips")
    try:
        return networks.canonical(given)
    except ValueError:
        raise InvalidRequest(
            "allow_ips must be addresses or networks such as 10.0.0.0/8 or 2001:db8::/32, without host bits.",
            param="allow_ips",
        ) from None


def _common_networks(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    """No network at all means every address."""
    if not ours or not theirs:
        return ours or theirs
    return tuple(_some("allow_ips", networks.intersect(ours, theirs)))
