"""litellm: `text_completion` and `completion`, plain, in lists and in streams; how it classes our errors."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import litellm
from litellm import acompletion, completion, text_completion

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def see_text_completion(common: dict[str, Any]) -> None:
    ask: dict[str, Any] = {**common, "model": "text-completion-openai/ensue-tiny", "max_tokens": 12, "temperature": 0}
    whole = text_completion(prompt=PROMPT, logprobs=2, **ask)
    text = whole.choices[0].text
    assert text
    assert whole.usage.completion_tokens == 12
    assert len(whole.choices[0].logprobs.tokens) == 12
    several = text_completion(prompt=[PROMPT, "The dog"], **ask)
    assert [choice.index for choice in several.choices] == [0, 1]
    assert several.choices[0].text == text
    events = list(text_completion(prompt=PROMPT, stream=True, **ask))
    assert "".join(event.choices[0].text or "" for event in events) == text
    assert events[-1].choices[0].finish_reason == "length"
    vllm = {**ask, "model": "hosted_vllm/ensue-tiny", "api_base": common["base_url"]}
    assert text_completion(prompt=PROMPT, **vllm).choices[0].text


def see_completion(common: dict[str, Any]) -> None:
    ask: dict[str, Any] = {**common, "model": "openai/ensue-tiny", "messages": MESSAGES, "temperature": 0}
    whole = completion(logprobs=True, top_logprobs=2, **ask)
    assert whole.choices[0].message.content == ANSWER
    assert whole.choices[0].finish_reason == "stop"
    assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
    events = list(completion(stream=True, stream_options={"include_usage": True}, **ask))
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == ANSWER
    told = [event.usage for event in events if getattr(event, "usage", None)]
    assert told[-1].completion_tokens == whole.usage.completion_tokens
    shape = {"type": "json_schema", "json_schema": {"name": "age", "schema": SCHEMA, "strict": True}}
    limited = completion(response_format=shape, max_tokens=60, **ask)
    assert limited.choices[0].message.content.startswith("{")


def see_errors(common: dict[str, Any]) -> None:
    text: dict[str, Any] = {**common, "model": "text-completion-openai/ensue-tiny"}
    chat: dict[str, Any] = {**common, "model": "openai/ensue-tiny", "messages": MESSAGES}
    long = [{"role": "user", "content": "x " * 9000}]
    calls: tuple[tuple[Callable[[], Any], type[Exception]], ...] = (
        (lambda: completion(**{**chat, "api_key": "wrong"}), litellm.AuthenticationError),
        (lambda: completion(**{**chat, "model": "openai/other"}), litellm.NotFoundError),
        (lambda: completion(**{**chat, "messages": long}), litellm.ContextWindowExceededError),
        (lambda: completion(**{**chat, "temperature": 9}), litellm.BadRequestError),
        (lambda: completion(**{**chat, "stream": True, "temperature": 9}), litellm.BadRequestError),
        (lambda: text_completion(prompt="x " * 9000, **text), litellm.ContextWindowExceededError),
        (lambda: text_completion(prompt="x", n=999, **text), litellm.BadRequestError),
        (lambda: text_completion(prompt="x", **{**text, "api_key": "wrong"}), litellm.AuthenticationError),
    )
    for call, kind in calls:
        error = error_of(call)
        assert type(error) is kind, (kind, error)


def error_of(call: Callable[[], Any]) -> Exception:
    try:
        list(call())
    except Exception as error:
        return error
    raise AssertionError("no error")


async def see_async(common: dict[str, Any]) -> None:
    ask: dict[str, Any] = {**common, "model": "openai/ensue-tiny", "messages": MESSAGES, "temperature": 0}
    answers = await asyncio.gather(*(acompletion(**ask) for _ in range(4)))
    assert {answer.choices[0].message.content for answer in answers} == {ANSWER}


if __name__ == "__main__":
    settings = {"base_url": f"{sys.argv[1]}/v1", "api_key": os.environ["OPENAI_API_KEY"], "num_retries": 0}
    for check in (see_text_completion, see_completion, see_errors):
        check({**settings, "max_retries": 0})
    asyncio.run(see_async({**settings, "max_retries": 0}))
