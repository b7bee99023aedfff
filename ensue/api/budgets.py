"""A key's token budgets: in all, this month and this day, by what its ledger says and what running requests hold."""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ensue.errors import QuotaExceeded, RateLimited
from ensue.rights import KeyRights
from ensue.store.usage import Spent

HELD_RETRY_AFTER_S = 1  # running requests hold what is left; when they end is not known


class UsageBook(Protocol):
    """What knows what was used."""

    async def spent(self, key_id: str, request_ids: Collection[str]) -> tuple[Spent, frozenset[str]]:
        """What a key's settled requests have used, and which of these requests are among them, at one moment.

        Raises:
            Overloaded: it does not answer.
        """
        ...

    async def settled(self, request_id: str) -> None:
        """Returns once what this request has used is part of what was spent, also for other processes."""
        ...


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget of a key."""

    name: str
    limit: int
    used: int
    reset_s: int | None  # until it begins anew; None: it never does


def smallest_budget(rights: KeyRights) -> int | None:
    limits = (rights.token_budget, rights.token_budget_per_month, rights.token_budget_per_day)
    return min((limit for limit in limits if limit is not None), default=None)


def check_budgets(rights: KeyRights, used: Spent, held: int, asked: int, now: float) -> None:
    """
    Args:
        held: tokens that this request and those before it may still use.
        asked: this request's part of them.
        now: Unix seconds.

    Raises:
        QuotaExceeded: what is left is less than what is asked.
        RateLimited: it would do, but others hold it.
    """
    budgets = tuple(_budgets(rights, used, now))
    short = [budget for budget in budgets if budget.used + asked > budget.limit]
    if short:
        raise _exceeded(short, asked)
    for budget in budgets:
        if budget.used + held > budget.limit:
            raise RateLimited(
                f"Rate limit reached: running requests may use up this API key's token budget {budget.name}.",
                retry_after_s=HELD_RETRY_AFTER_S,
            )


def _exceeded(short: list[Budget], asked: int) -> QuotaExceeded:
    worst = max(short, key=lambda budget: float("inf") if budget.reset_s is None else budget.reset_s)
    left = max(0, worst.limit - worst.used)
    detail = f"{left} are left, and this request may use {asked}: ask for fewer." if left else "Nothing is left."
    message = f"This API key's budget of {worst.limit} tokens {worst.name} does not allow this request. {detail}"
    return QuotaExceeded(message, retry_after_s=worst.reset_s)


def _budgets(rights: KeyRights, used: Spent, now: float) -> Iterator[Budget]:
    if rights.token_budget is not None:
        yield Budget("in all", rights.token_budget, used.in_all, None)
    if rights.token_budget_per_month is not None:
        yield Budget("a month", rights.token_budget_per_month, used.this_month, seconds_left_of_month(now))
    if rights.token_budget_per_day is not None:
        yield Budget("a day", rights.token_budget_per_day, used.this_day, seconds_left_of_day(now))


def seconds_left_of_day(now: float) -> int:
    """Until midnight, rounded up."""
    return _seconds_until(_midnight(now) + timedelta(days=1), now)


def seconds_left_of_month(now: float) -> int:
    midnight = _midnight(now)
    num_days = calendar.monthrange(midnight.year, midnight.month)[1]
    return _seconds_until(midnight.replace(day=1) + timedelta(days=num_days), now)


def _midnight(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _seconds_until(moment: datetime, now: float) -> int:
    return int(moment.timestamp()) - int(now)
