"""The official client against the application, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from ensue.api.limits import KeyLimits
from ensue.engine.fake import FakeEngine
from ensue.errors import EngineDead, GenerationFailed, Overloaded, RequestError, RequestTimeout
from ensue.limits.memory import MemoryCounters
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from ensue.store.usage import Spent
from tests.api.conftest import ServeApp
from tests.api.limited import Book, LedgerDouble
from tests.api.test_server import until

Says = Callable[..., FakeEngine]
TEXT = " one two three"


@pytest.fixture
async def client(served: ServeApp, says: Says, keys: KeyStore) -> AsyncIterator[AsyncOpenAI]:
    _, token = keys.create("client")
    engine = says(TEXT + "<|end_of_text|>")
    async with (
        served(engine, keys) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, _strict_response_validation=True) as client,
    ):
        yield client


async def test_a_completion(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(model="tiny", prompt="x", logprobs=2)
    assert answer.choices[0].text == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


async def test_a_stream(client: AsyncOpenAI) -> None:
    # not strict: the client's type has no null for finish_reason, which every event but the last carries
    lenient = AsyncOpenAI(base_url=client.base_url, api_key=client.api_key)
    stream = await lenient.completions.create(
        model="tiny", prompt=["x", "y"], stream=True, stream_options={"include_usage": True}
    )
    texts = {0: "", 1: ""}
    usage = None
    async for event in stream:
        usage = event.usage
        for choice in event.choices:
            texts[choice.index] += choice.text
    await lenient.close()
    assert texts == {0: TEXT, 1: TEXT}
    assert usage is not None


async def test_explicit_nulls(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="tiny",
        prompt="x",
        best_of=None,
        echo=None,
        frequency_penalty=None,
        logit_bias=None,
        logprobs=None,
        max_tokens=None,
        n=None,
        presence_penalty=None,
        seed=None,
        stop=None,
        stream_options=None,
        suffix=None,
        temperature=None,
        top_p=None,
    )
    assert answer.choices[0].text == TEXT


async def test_fields_that_openai_does_not_know(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="tiny",
        prompt="x",
        n=2,
        logprobs=1,
        logit_bias={"7": 1},
        extra_body={
            "min_tokens": 2,
            "top_k": 5,
            "repetition_penalty": 1.1,
            "return_token_ids": True,
            "bad_words": ["z"],
        },
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    extra = answer.choices[0].model_extra
    assert extra is not None
    assert len(extra["token_ids"]) >= 2
    with pytest.raises(openai.BadRequestError) as raised:
        await client.completions.create(model="tiny", prompt="x", extra_body={"use_beam_search": True, "top_k": 5})
    assert raised.value.param == "top_k"


async def test_the_synchronous_client(client: AsyncOpenAI) -> None:
    def use() -> tuple[str, str, str]:
        with OpenAI(base_url=client.base_url, api_key=client.api_key, max_retries=0) as sync:
            whole = sync.completions.create(model="tiny", prompt="x").choices[0].text
            stream = sync.completions.create(model="tiny", prompt="x", stream=True)
            chat = sync.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x"}])
            return whole, "".join(event.choices[0].text for event in stream), chat.choices[0].message.content or ""

    assert await asyncio.to_thread(use) == (TEXT, TEXT, TEXT)


async def test_a_chat(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "x"}], logprobs=True, top_logprobs=2, n=2
    )
    assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [len(entry.top_logprobs) for entry in logprobs.content] == [2] * len(logprobs.content)
    assert "".join(entry.token for entry in logprobs.content[:-1]) == TEXT


async def test_a_chat_that_goes_on_with_the_clients_own_objects(client: AsyncOpenAI) -> None:
    first = await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x"}])
    messages: Any = [{"role": "user", "content": "x"}, first.choices[0].message, {"role": "user", "content": "y"}]
    second = await client.chat.completions.create(model="tiny", messages=messages)
    assert second.choices[0].message.content == TEXT


async def test_a_streamed_chat(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "x"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert (choices[0].delta.role, choices[0].delta.content) == ("assistant", "")
    assert "".join(choice.delta.content or "" for choice in choices) == TEXT
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].usage is not None


async def test_the_clients_own_stream_helper(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="tiny", messages=[{"role": "user", "content": "x"}]) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == TEXT


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["tiny"]
    assert (await client.models.retrieve("tiny")).object == "model"


async def test_a_bad_key(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        await client.with_options(api_key="sk-ensue-wrong").completions.create(model="tiny", prompt="x")
    assert raised.value.code == "invalid_api_key"


async def test_bad_requests(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.completions.create(model="tiny", prompt="x", temperature=3)
    assert raised.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as missing:
        await client.completions.create(model="other", prompt="x")
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Overloaded("Full.", retry_after_s=1), openai.InternalServerError),
        (EngineDead("Dead."), openai.InternalServerError),
        (GenerationFailed("Failed."), openai.InternalServerError),
        (RequestTimeout("Late."), openai.InternalServerError),
    ],
)
async def test_server_errors(
    served: ServeApp, says: Says, error: RequestError, raised: type[openai.APIStatusError]
) -> None:
    async with (
        served(says("a", error=error)) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(raised) as info:
            await client.completions.create(model="tiny", prompt="x")
    assert info.value.status_code == error.status


async def test_a_failure_in_a_stream_is_raised(served: ServeApp, says: Says) -> None:
    engine = says(TEXT, error=EngineDead("It is being restarted."), error_after=2)
    async with served(engine) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        stream = await client.completions.create(model="tiny", prompt="x", stream=True)
        with pytest.raises(openai.APIError, match="being restarted"):
            async for _ in stream:
                pass


async def test_what_cannot_succeed_is_not_tried_again(
    served: ServeApp, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, num_calls = says("a"), 0

    async def failing(request: object) -> None:
        nonlocal num_calls
        num_calls += 1
        raise GenerationFailed("No.")

    monkeypatch.setattr(engine, "generate", failing)
    async with served(engine) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=3) as client:
        with pytest.raises(openai.InternalServerError):
            await client.completions.create(model="tiny", prompt="x")
    assert num_calls == 1


async def test_a_closed_stream_frees_its_generation(served: ServeApp, says: Says) -> None:
    engine = says(TEXT, step_s=0.005)
    async with served(engine) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        stream = await client.completions.create(model="tiny", prompt="x", stream=True, max_tokens=900)
        await anext(stream)
        await stream.close()
        async with asyncio.timeout(30):
            while engine.running:
                await asyncio.sleep(0.01)


async def test_a_rate_limit_is_its_error_and_the_next_try_comes_after_retry_after(
    served: ServeApp, says: Says, keys: KeyStore
) -> None:
    _, token = keys.create("limited", KeyRights(concurrent=1))
    ledger = LedgerDouble(Book())
    limits = KeyLimits(MemoryCounters(), ledger.book, Metrics())
    async with (
        served(says(TEXT), keys, accountants=[ledger], key_limits=limits) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=2) as client,
    ):
        first = asyncio.create_task(client.completions.create(model="tiny", prompt="x", max_tokens=1))
        await until(lambda: len(ledger.asks) == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.with_options(max_retries=0).models.list()
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == "1"
        second = asyncio.create_task(client.completions.create(model="tiny", prompt="x", max_tokens=1))
        ledger.gate.set()
        answers = await asyncio.gather(first, second)
    assert all(answer.choices[0].text for answer in answers)


async def test_a_used_up_budget_is_its_error_and_not_tried_again(served: ServeApp, says: Says, keys: KeyStore) -> None:
    key, token = keys.create("poor", KeyRights(token_budget=10))
    book = Book({key.id: Spent(in_all=10)})
    metrics = Metrics()
    async with (
        served(says(TEXT), keys, key_limits=KeyLimits(MemoryCounters(), book, metrics)) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=2) as client,
    ):
        with pytest.raises(openai.RateLimitError) as caught:
            await client.completions.create(model="tiny", prompt="x")
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
    assert 'ensue_limit_refusals_total{limit="budget"} 1.0' in metrics.render()[0].decode()


async def test_parallel_requests_over_connections_of_their_own_are_limited_exactly(
    served: ServeApp, says: Says, keys: KeyStore
) -> None:
    _, token = keys.create("limited", KeyRights(requests_per_minute=10))
    limits = KeyLimits(MemoryCounters(), Book(), Metrics())
    async with (
        served(says(TEXT), keys, key_limits=limits) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as client,
    ):
        calls = (client.completions.create(model="tiny", prompt="x", max_tokens=1) for _ in range(200))
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, openai.RateLimitError) for result in results) == 190
    assert sum(not isinstance(result, BaseException) for result in results) == 10
