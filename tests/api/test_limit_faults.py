"""Where what counts does not answer, or a request is cancelled while it is being counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import structlog.testing

from ensue.api.limits import KeyLimits
from ensue.errors import Overloaded
from ensue.limits.base import Change, Demand, Reading
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from ensue.store.usage import Spent
from tests.api.conftest import Api, MakeApi
from tests.api.limited import Book, refusal, used
from tests.api.test_server import until

BODY = {"prompt": [5, 6, 7], "max_tokens": 2}
ALL = KeyRights(requests_per_minute=9, concurrent=9, tokens_per_minute=100, token_budget=100)


class Unreliable(MemoryCounters):
    """Answers when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_take = self.fails_change = False
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.num_waiting = 0

    async def take(self, key_id: str, entry_id: str, demands: Sequence[Demand]) -> tuple[Reading, ...]:
        self._check(self.fails_take)
        self.num_waiting += 1
        await self.is_open.wait()
        return await super().take(key_id, entry_id, demands)

    async def change(self, key_id: str, entry_id: str, changes: Sequence[Change]) -> None:
        await asyncio.sleep(0)
        self._check(self.fails_change)
        await super().change(key_id, entry_id, changes)

    def _check(self, fails: bool) -> None:
        if fails:
            raise Overloaded("The store of limits does not answer.", retry_after_s=5)


@pytest.fixture
def counters() -> Unreliable:
    return Unreliable()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def api(make_api: MakeApi, keys: KeyStore, counters: Unreliable, book: Book, metrics: Metrics) -> Api:
    return make_api(keys=keys, key_limits=KeyLimits(counters, book, metrics))


def add_key(api: Api, keys: KeyStore, rights: KeyRights = ALL) -> str:
    """The id of a key that the application is called with from now on."""
    key, token = keys.create("k", rights)
    api.client.headers["authorization"] = f"Bearer {token}"
    return key.id


async def test_what_can_not_be_counted_is_refused_for_a_while(api: Api, keys: KeyStore, counters: Unreliable) -> None:
    counters.fails_take = True
    add_key(api, keys)
    answer = await api.client.post("/v1/completions", json=BODY)
    assert refusal(answer) == (503, "service_unavailable_error", "server_is_overloaded", "5")
    add_key(api, keys, KeyRights())
    assert (await api.client.post("/v1/completions", json=BODY)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_what_can_not_be_given_back_spoils_no_answer(
    api: Api, keys: KeyStore, counters: Unreliable, stream: bool
) -> None:
    counters.fails_change = True
    add_key(api, keys)
    with structlog.testing.capture_logs() as lines:
        answer = await api.client.post("/v1/completions", json=BODY | {"stream": stream})
    assert answer.status_code == 200
    assert {line["event"] for line in lines if line["log_level"] == "warning"} == {"limits were not given back"}


async def test_who_leaves_while_being_counted_holds_nothing(api: Api, keys: KeyStore, counters: Unreliable) -> None:
    key_id = add_key(api, keys)
    counters.is_open.clear()
    posting = asyncio.create_task(api.client.post("/v1/completions", json=BODY))
    await until(lambda: counters.num_waiting == 1)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    counters.is_open.set()
    async with asyncio.timeout(30):
        while await used(counters, key_id) != {"requests": 1, "tokens": 0, "concurrent": 0, "budget": 0}:
            await asyncio.sleep(0.01)


async def test_closing_gives_back_what_it_can_and_waits_for_no_ledger(keys: KeyStore, counters: Unreliable) -> None:
    book = Book()
    book.is_written.clear()
    limits = KeyLimits(counters, book, Metrics())
    giving = asyncio.create_task(limits.give_back("key", "r", []))
    limits.release_when_written("key", "r", 5)
    await asyncio.sleep(0)
    await limits.close()
    assert giving.done()


async def test_refusals_are_counted_by_limit(
    api: Api, keys: KeyStore, counters: Unreliable, book: Book, metrics: Metrics
) -> None:
    for rights in (KeyRights(requests_per_minute=1), KeyRights(tokens_per_minute=6), KeyRights(token_budget=6)):
        book.by_key[add_key(api, keys, rights)] = Spent(in_all=2)
        for _ in range(2):
            await api.client.post("/v1/completions", json=BODY)
    counters.fails_take = True
    await api.client.post("/v1/completions", json=BODY)
    lines = [
        line for line in metrics.render()[0].decode().splitlines() if line.startswith("ensue_limit_refusals_total")
    ]
    counts = {"requests": 1.0, "tokens": 1.0, "budget": 2.0, "unknown": 1.0}
    assert lines == [f'ensue_limit_refusals_total{{limit="{limit}"}} {count}' for limit, count in counts.items()]
