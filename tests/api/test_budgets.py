"""Token budgets: in all, a month, a day."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from ensue.api import limits
from ensue.api.budgets import check_budgets, seconds_left_of_day, seconds_left_of_month
from ensue.api.ledger import LedgerAccountant
from ensue.api.limits import KeyLimits
from ensue.errors import Overloaded, QuotaExceeded, RateLimited
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.store import instances
from ensue.store.keys import KeyStore
from ensue.store.ledger import Ledger
from ensue.store.spending import Spending
from ensue.store.usage import Spent
from tests.api.conftest import Api, MakeApi
from tests.api.limited import Book, LedgerDouble, refusal, statuses, used
from tests.api.test_server import until

NOON = datetime(2024, 2, 28, 12, tzinfo=UTC).timestamp()
ALL_SPENT = Spent(in_all=90, this_month=60, this_day=30)
BODY = {"prompt": [5, 6, 7], "max_tokens": 2}


@pytest.mark.parametrize(
    ("rights", "retry_after_s"),
    [
        (KeyRights(token_budget=94), None),
        (KeyRights(token_budget_per_month=64), 36 * 3600),
        (KeyRights(token_budget_per_day=34), 12 * 3600),
        (KeyRights(token_budget_per_day=34, token_budget_per_month=64), 36 * 3600),
        (KeyRights(token_budget_per_day=34, token_budget=1), None),
    ],
)
def test_a_budget_that_is_too_small_says_when_it_begins_anew(rights: KeyRights, retry_after_s: int | None) -> None:
    with pytest.raises(QuotaExceeded) as caught:
        check_budgets(rights, ALL_SPENT, held=5, asked=5, now=NOON)
    assert caught.value.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    "rights",
    [
        KeyRights(token_budget=95),
        KeyRights(token_budget_per_month=65),
        KeyRights(token_budget_per_day=35),
        KeyRights(token_budget=95, token_budget_per_month=65, token_budget_per_day=35),
    ],
)
def test_a_budget_is_used_to_its_last_token_but_what_others_hold_is_not_left(rights: KeyRights) -> None:
    check_budgets(rights, ALL_SPENT, held=5, asked=5, now=NOON)
    with pytest.raises(RateLimited):
        check_budgets(rights, ALL_SPENT, held=6, asked=5, now=NOON)


@pytest.mark.parametrize(
    ("day", "day_s", "month_s"),
    [
        ((2024, 2, 28, 23, 59, 59), 1, 86_401),
        ((2024, 12, 31, 0, 0, 0), 86_400, 86_400),
        ((2023, 2, 28, 12, 0, 0), 43_200, 43_200),
    ],
)
def test_days_and_months_end_by_utc(day: tuple[int, ...], day_s: int, month_s: int) -> None:
    now = datetime(*day, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]
    assert (seconds_left_of_day(now), seconds_left_of_month(now)) == (day_s, month_s)
    assert seconds_left_of_day(now + 0.9) == day_s


class Budgeted:
    """An application whose key has budgets."""

    def __init__(self, make_api: MakeApi, keys: KeyStore, rights: KeyRights, spent: Spent) -> None:
        key, token = keys.create("k", rights)
        self.key_id, self.book, self.counters = key.id, Book({key.id: spent}), MemoryCounters()
        self.ledger = LedgerDouble(self.book)
        self.ledger.gate.set()
        key_limits = KeyLimits(self.counters, self.book, Metrics(), now=lambda: NOON)
        self.api: Api = make_api(keys=keys, key_limits=key_limits, accountants=[self.ledger])
        self.api.client.headers["authorization"] = f"Bearer {token}"

    async def post(self, max_tokens: int = 2) -> httpx2.Response:
        return await self.api.client.post("/v1/completions", json=BODY | {"max_tokens": max_tokens})


NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("budget", "begun_at", "passes_at"),
    [
        ("token_budget_per_day", NEW_YEAR + 3600, NEW_YEAR + 86_400),
        ("token_budget_per_day", NEW_YEAR - 1, NEW_YEAR),
        ("token_budget_per_month", NEW_YEAR - 86_400 * 31, NEW_YEAR),
        ("token_budget_per_month", NEW_YEAR - 1, NEW_YEAR),
        ("token_budget_per_month", NEW_YEAR, NEW_YEAR + 86_400 * 31),
        ("token_budget", NEW_YEAR - 1, None),
    ],
)
async def test_a_budget_begins_anew_at_midnight_utc_by_the_rows_of_the_ledger(
    make_api: MakeApi, keys: KeyStore, budget: str, begun_at: float, passes_at: float | None
) -> None:
    now, database = [begun_at], keys._database
    ledger = Ledger(database, instances.enter(database))
    limits_ = KeyLimits(MemoryCounters(), Spending(database, ledger, now=lambda: now[0]), Metrics(), now=lambda: now[0])
    api = make_api(keys=keys, key_limits=limits_, accountants=[LedgerAccountant(ledger, now=lambda: now[0])])
    rights: dict[str, Any] = {budget: 6}
    _, token = keys.create("k", KeyRights(**rights))
    api.client.headers["authorization"] = f"Bearer {token}"

    async def status_at(moment: float) -> int:
        now[0] = moment
        return (await api.client.post("/v1/completions", json=BODY)).status_code

    assert [await status_at(begun_at), await status_at(begun_at)] == [200, 429]
    assert await status_at((passes_at or NEW_YEAR + 86_400 * 800) - 1) == 429
    assert passes_at is None or await status_at(passes_at) == 200
    await asyncio.to_thread(ledger.close)


async def test_a_used_up_budget_is_told_and_not_tried_again(make_api: MakeApi, keys: KeyStore) -> None:
    app = Budgeted(make_api, keys, KeyRights(token_budget_per_day=12), Spent(this_day=2))
    assert [(await app.post()).status_code for _ in range(2)] == [200, 200]
    refused = await app.post()
    assert refusal(refused) == (429, "insufficient_quota", "insufficient_quota", str(12 * 3600))
    assert refused.headers["x-should-retry"] == "false"
    assert "rate limit" not in refused.text.lower()


async def test_what_is_left_serves_a_request_that_asks_for_no_more(make_api: MakeApi, keys: KeyStore) -> None:
    app = Budgeted(make_api, keys, KeyRights(token_budget=100), Spent(in_all=95))
    refused = await app.post(max_tokens=3)
    assert "5 are left, and this request may use 6" in refused.text
    assert "retry-after" not in refused.headers
    assert (await app.post(max_tokens=2)).status_code == 200


async def test_no_more_generations_start_together_than_the_budget_allows(make_api: MakeApi, keys: KeyStore) -> None:
    app = Budgeted(make_api, keys, KeyRights(token_budget=54), Spent())
    app.ledger.gate.clear()
    posting = [asyncio.create_task(app.post()) for _ in range(200)]
    await until(lambda: sum(task.done() for task in posting) == 190)
    assert (await used(app.counters, app.key_id))["budget"] == 50
    app.ledger.gate.set()
    assert statuses(await asyncio.gather(*posting)) == {200: 10, 429: 190}
    assert app.book.by_key[app.key_id].in_all == 50
    assert (await used(app.counters, app.key_id))["budget"] == 0


async def test_what_a_budget_refuses_takes_nothing_of_other_limits(make_api: MakeApi, keys: KeyStore) -> None:
    rights = KeyRights(token_budget=4, tokens_per_minute=100, concurrent=1)
    app = Budgeted(make_api, keys, rights, Spent(in_all=1))
    assert refusal(await app.post())[0] == 429
    assert set((await used(app.counters, app.key_id)).values()) == {0}


async def test_a_silent_ledger_refuses_keys_with_budgets_and_no_others(make_api: MakeApi, keys: KeyStore) -> None:
    async def silent(key_id: str, request_ids: Collection[str]) -> tuple[Spent, frozenset[str]]:
        raise Overloaded("The ledger does not answer.", retry_after_s=3)

    for rights, status in ((KeyRights(token_budget=100), 503), (KeyRights(tokens_per_minute=100), 200)):
        app = Budgeted(make_api, keys, rights, Spent())
        app.book.spent = silent  # type: ignore[method-assign]
        assert (await app.post()).status_code == status
        assert (await used(app.counters, app.key_id))["budget"] == 0


async def test_what_was_used_counts_while_the_ledger_is_yet_to_write_it(
    make_api: MakeApi, keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RELEASE_TIMEOUT_S", 0.01)
    app = Budgeted(make_api, keys, KeyRights(token_budget=9), Spent())
    app.book.is_written.clear()
    app.ledger.book = Book()  # written elsewhere, for now
    assert (await app.post()).status_code == 200
    posting = asyncio.create_task(app.post())
    assert refusal(await posting) == (429, "rate_limit_error", "rate_limit_exceeded", "1")
    assert await used(app.counters, app.key_id) == {"requests": 0, "tokens": 0, "concurrent": 0, "budget": 5}


async def test_who_asks_again_at_once_is_not_charged_twice(make_api: MakeApi, keys: KeyStore) -> None:
    app = Budgeted(make_api, keys, KeyRights(token_budget=50), Spent())
    assert [(await app.post()).status_code for _ in range(11)] == [*[200] * 10, 429]


async def test_what_is_written_and_still_held_is_charged_once(make_api: MakeApi, keys: KeyStore) -> None:
    app = Budgeted(make_api, keys, KeyRights(token_budget=9), Spent())
    app.book.is_written.clear()
    assert (await app.post()).status_code == 200
    assert (await used(app.counters, app.key_id))["budget"] == 5
    assert (await app.post(max_tokens=1)).status_code == 200
    assert app.book.by_key[app.key_id].in_all == 9


async def test_a_budget_that_is_used_up_is_said_to_be_even_where_the_ledger_is_late(
    make_api: MakeApi, keys: KeyStore
) -> None:
    app = Budgeted(make_api, keys, KeyRights(token_budget=5), Spent())
    app.book.is_written.clear()
    late = app.ledger.book = Book()
    assert (await app.post()).status_code == 200
    posting = asyncio.create_task(app.post())
    await until(lambda: app.book.num_reads == 2)
    app.book.by_key, app.book.settled_ids = late.by_key, late.settled_ids
    app.book.is_written.set()
    assert refusal(await posting)[2] == "insufficient_quota"
