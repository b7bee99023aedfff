"""Requests and tokens by the minute, and requests at once, in every place that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ensue.api.limits import KeyLimits
from ensue.engine.fake import FakeEngine
from ensue.errors import GenerationFailed
from ensue.limits.base import Counters
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, MakeApi
from tests.api.limited import Book, LedgerDouble, refusal, statuses, used
from tests.api.test_server import until
from tests.limits.conftest import empty_redis, open_named  # noqa: F401 - fixtures
from tests.limits.places import PLACES, Clock

BODY = {"prompt": [5, 6, 7], "max_tokens": 2}
Says = Callable[..., FakeEngine]


@dataclass
class Limited:
    """One key with limits, and its application."""

    api: Api
    key_id: str
    counters: Counters
    ledger: LedgerDouble

    async def used(self) -> dict[str, int]:
        return await used(self.counters, self.key_id)

    async def post(self, **body: Any) -> Any:
        return await self.api.client.post("/v1/completions", json=BODY | body)

    async def post_many(self, count: int, **body: Any) -> list[Any]:
        return await asyncio.gather(*(self.post(**body) for _ in range(count)))


MakeLimited = Callable[..., Limited]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=PLACES)
def counters(request: pytest.FixtureRequest, open_named: Callable[[str], Counters]) -> Counters:  # noqa: F811
    return open_named(request.param)


@pytest.fixture
def limited(make_api: MakeApi, keys: KeyStore, counters: Counters) -> MakeLimited:
    def make(rights: KeyRights, *, holds_all: bool = False, **more: Any) -> Limited:
        key, token = keys.create("k", rights)
        ledger = LedgerDouble(Book())
        if not holds_all:
            ledger.gate.set()
        limits = KeyLimits(counters, ledger.book, Metrics())
        api = make_api(keys=keys, key_limits=limits, accountants=[ledger], **more)
        api.client.headers["authorization"] = f"Bearer {token}"
        return Limited(api, key.id, counters, ledger)

    return make


async def test_exactly_as_many_requests_a_minute_pass_as_the_key_may_send(limited: MakeLimited) -> None:
    app = limited(KeyRights(requests_per_minute=10))
    answers = await app.post_many(200)
    assert statuses(answers) == {200: 10, 429: 190}
    assert (await app.used())["requests"] == 10


async def test_a_refusal_says_truly_when_the_next_request_passes(limited: MakeLimited, clock: Clock) -> None:
    app = limited(KeyRights(requests_per_minute=2))
    await app.post()
    clock.now += 10.5
    await app.post()
    refused = await app.post()
    assert refusal(refused) == (429, "rate_limit_error", "rate_limit_exceeded", "50")
    assert "2 requests a minute" in refused.json()["error"]["message"]
    clock.now += 49
    assert (await app.post()).status_code == 429
    clock.now += 1
    assert [(await app.post()).status_code for _ in range(2)] == [200, 429]


async def test_every_answer_of_a_limited_key_tells_what_is_left(limited: MakeLimited) -> None:
    app = limited(KeyRights(requests_per_minute=3, tokens_per_minute=100))
    answers = [await app.post(stream=True), await app.post(n=0), await app.post(), await app.post()]
    assert [answer.status_code for answer in answers] == [200, 400, 200, 429]
    for index, answer in enumerate(answers):
        headers = {name: value for name, value in answer.headers.items() if name.startswith("x-ratelimit")}
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == str(max(0, 2 - index))
        assert headers["x-ratelimit-reset-requests"] == "1m0s"
        assert headers["x-ratelimit-limit-tokens"] == "100"
        assert headers["x-ratelimit-remaining-tokens"] == ("95", "95", "90", "90")[index]
        assert headers["x-ratelimit-reset-tokens"] == "1m0s"


async def test_a_key_without_limits_is_told_of_none_and_counted_nowhere(limited: MakeLimited) -> None:
    app = limited(KeyRights())
    answer = await app.post()
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert set((await app.used()).values()) == {0}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny", "/tokenizer_info"])
async def test_requests_to_all_routes_count(limited: MakeLimited, path: str) -> None:
    app = limited(KeyRights(requests_per_minute=1, concurrent=1))
    assert [(await app.api.client.get(path)).status_code for _ in range(2)] == [200, 429]


async def test_requests_are_counted_before_their_bodies_are_read(limited: MakeLimited) -> None:
    app = limited(KeyRights(requests_per_minute=1))
    await app.post()
    answer = await app.api.client.post("/v1/completions", content=b"x" * 10_000_000)
    assert answer.status_code == 429


async def test_the_tokens_that_a_generation_may_use_are_held_and_those_it_did_not_use_given_back(
    limited: MakeLimited, says: Says
) -> None:
    app = limited(KeyRights(tokens_per_minute=1000), holds_all=True, engine=says(" a<|end_of_text|>"))
    posting = asyncio.create_task(app.post(prompt=[[5, 6, 7], [8]], n=2, best_of=3, max_tokens=50))
    await until(lambda: len(app.ledger.asks) == 1)
    assert (await app.used())["tokens"] == 4 + 2 * 3 * 50
    app.ledger.gate.set()
    usage = (await posting).json()["usage"]
    assert (await app.used())["tokens"] == usage["total_tokens"] < 30


async def test_a_request_that_may_use_more_than_the_limit_itself_holds_all_of_it_and_owes_the_rest(
    limited: MakeLimited, clock: Clock
) -> None:
    app = limited(KeyRights(tokens_per_minute=20))
    assert (await app.post(max_tokens=57)).status_code == 200
    assert (await app.used())["tokens"] == 60
    refused = await app.post(max_tokens=57)
    assert refusal(refused) == (429, "rate_limit_error", "rate_limit_exceeded", "60")
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
    clock.now += 60
    assert (await app.post(max_tokens=57)).status_code == 200


async def test_exactly_as_many_generations_start_as_their_tokens_allow(limited: MakeLimited) -> None:
    app = limited(KeyRights(tokens_per_minute=54), holds_all=True)
    posting = [asyncio.create_task(app.post()) for _ in range(200)]
    await until(lambda: sum(task.done() for task in posting) == 190)
    assert (await app.used())["tokens"] == 50
    app.ledger.gate.set()
    answers = await asyncio.gather(*posting)
    assert statuses(answers) == {200: 10, 429: 190}
    assert (await app.used())["tokens"] == 50


async def test_a_refusal_for_tokens_waits_for_the_requests_too(limited: MakeLimited, clock: Clock) -> None:
    app = limited(KeyRights(requests_per_minute=2, tokens_per_minute=9))
    await app.post()
    clock.now += 30
    refused = await app.post()
    assert refusal(refused)[3] == "30"
    clock.now += 30
    assert (await app.post()).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_exactly_as_many_requests_run_at_once_as_the_key_may_have(limited: MakeLimited, stream: bool) -> None:
    app = limited(KeyRights(concurrent=10), holds_all=True)
    posting = [asyncio.create_task(app.post(stream=stream)) for _ in range(200)]
    await until(lambda: sum(task.done() for task in posting) == 190)
    assert (await app.used())["concurrent"] == 10
    app.ledger.gate.set()
    answers = await asyncio.gather(*posting)
    assert statuses(answers) == {200: 10, 429: 190}
    assert {refusal(answer) for answer in answers if answer.status_code == 429} == {
        (429, "rate_limit_error", "rate_limit_exceeded", "1")
    }
    assert (await app.used())["concurrent"] == 0


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, None),
        ({"n": 0}, None),
        ({"prompt": []}, None),
        ({"model": "other"}, None),
        ({"stream": True}, None),
        ({}, GenerationFailed("No.")),
        ({"stream": True}, GenerationFailed("No.")),
        ({}, ValueError()),
    ],
    ids=repr,
)
async def test_a_place_and_what_was_held_are_free_again_whatever_the_end(
    limited: MakeLimited, says: Says, body: dict[str, Any], error: Exception | None
) -> None:
    rights = KeyRights(concurrent=1, tokens_per_minute=100, token_budget=100)
    app = limited(rights, engine=says(" a", error=error, error_after=1))
    await app.post(**body)
    left = await app.used()
    assert (left["concurrent"], left["budget"]) == (0, 0)
    assert left["tokens"] in (0, 4, 5)


async def test_a_client_that_goes_away_leaves_its_place(limited: MakeLimited) -> None:
    app = limited(KeyRights(concurrent=1, tokens_per_minute=100, token_budget=100), holds_all=True)
    posting = asyncio.create_task(app.post())
    await until(lambda: len(app.ledger.asks) == 1)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    await until_used(app, {"requests": 0, "tokens": 0, "concurrent": 0, "budget": 0})


async def test_who_has_read_an_answer_may_send_the_next_request(limited: MakeLimited) -> None:
    app = limited(KeyRights(concurrent=1))
    for body in ({}, {"stream": True}, {"n": 0}) * 3:
        assert (await app.post(**body)).status_code in (200, 400)


async def test_limits_hold_as_they_are_when_a_request_comes(limited: MakeLimited, keys: KeyStore) -> None:
    app = limited(KeyRights(requests_per_minute=3))
    await app.post_many(2)
    keys.update(app.key_id, lambda key: replace(key, rights=KeyRights(requests_per_minute=2)))
    assert (await app.post()).status_code == 429
    keys.update(app.key_id, lambda key: replace(key, rights=KeyRights(requests_per_minute=4)))
    assert statuses(await app.post_many(5)) == {200: 2, 429: 3}


async def until_used(app: Limited, wanted: dict[str, int]) -> None:
    async with asyncio.timeout(30):
        while await app.used() != wanted:
            await asyncio.sleep(0.01)
