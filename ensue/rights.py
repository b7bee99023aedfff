"""What an API key may do: the words that the store, the limits and the API share."""

from __future__ import annotations

from dataclasses import dataclass

SCOPES = ("completions", "chat", "tokenize", "metrics", "admin")
DEFAULT_SCOPES = ("chat", "completions", "tokenize")


@dataclass(frozen=True, slots=True)
class KeyRights:
    """Scopes, models, limits and the time and place of their use; None: no limit."""

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
