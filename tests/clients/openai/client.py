"""openai-python: strict typed objects, streams, raw responses, errors."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import openai
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

MODEL = "ensue-tiny"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."


def complete(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=12, temperature=0, logprobs=2)
    assert whole.choices[0].text
    assert whole.choices[0].logprobs is not None
    assert whole.usage is not None
    assert whole.usage.completion_tokens == len(whole.choices[0].logprobs.tokens or [])
    lenient = client.with_options()  # its type of an event has no null for finish_reason
    lenient._strict_response_validation = False
    events = lenient.completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=12, temperature=0, stream=True
    )
    assert "".join(event.choices[0].text for event in events) == whole.choices[0].text


def chat(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, logprobs=True, top_logprobs=3)
    choice = whole.choices[0]
    assert (choice.message.content, choice.finish_reason) == (ANSWER, "stop")
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    text = bytes(byte for entry in choice.logprobs.content[:-1] for byte in entry.bytes or [])
    assert text.decode() == ANSWER
    chunks = list(client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert chunks[-1].choices[0].finish_reason == "stop"


def see_raw_response(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, temperature=0)
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.parse().choices[0].message.content == ANSWER


def see_errors(client: OpenAI) -> None:
    too_long = "x " * 9000
    calls: tuple[tuple[Callable[[], object], type[openai.APIStatusError], str], ...] = (
        (lambda: client.with_options(api_key="wrong").models.list(), openai.AuthenticationError, "invalid_api_key"),
        (lambda: client.completions.create(model="other", prompt="x"), openai.NotFoundError, "model_not_found"),
        (
            lambda: client.completions.create(model=MODEL, prompt=too_long),
            openai.BadRequestError,
            "context_length_exceeded",
        ),
    )
    for call, kind, code in calls:
        error = error_of(call)
        assert isinstance(error, kind), error
        assert error.code == code


def error_of(call: Callable[[], object]) -> openai.APIStatusError:
    try:
        call()
    except openai.APIStatusError as error:
        return error
    raise AssertionError("no error")


async def chat_at_once(url: str) -> None:
    async with AsyncOpenAI(base_url=url, max_retries=0) as client:
        create = client.chat.completions.create
        answers = await asyncio.gather(*(create(model=MODEL, messages=QUESTION, temperature=0) for _ in range(8)))
        assert {answer.choices[0].message.content for answer in answers} == {ANSWER}
        async with client.chat.completions.stream(model=MODEL, messages=QUESTION, temperature=0) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == ANSWER


if __name__ == "__main__":
    base_url = f"{sys.argv[1]}/v1"
    with OpenAI(base_url=base_url, max_retries=0, _strict_response_validation=True) as strict:
        assert [model.id for model in strict.models.list()] == [MODEL]
        for check in (complete, chat, see_raw_response, see_errors):
            check(strict)
    asyncio.run(chat_at_once(base_url))
