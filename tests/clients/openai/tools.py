"""openai-python's tools: typed calls, whole and streamed, its pydantic helpers, a conversation with a result."""

from __future__ import annotations

import sys
from typing import Literal

import openai
from openai import OpenAI
from openai.types.chat import (
    ChatCompletionAllowedToolChoiceParam,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionToolParam,
)
from pydantic import BaseModel, Field

MODEL = "ensue-tiny"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]


class Weather(BaseModel):
    """The weather of a city."""

    city: Literal["Paris", "Rome"]
    days: int = Field(ge=1, le=7)


WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather.", "parameters": Weather.model_json_schema()},
}
NOW: ChatCompletionToolParam = {"type": "function", "function": {"name": "now"}}
NAMED: ChatCompletionNamedToolChoiceParam = {"type": "function", "function": {"name": "get_weather"}}


def call_whole_and_streamed(client: OpenAI) -> None:
    whole = client.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[WEATHER, NOW], tool_choice=NAMED, parallel_tool_calls=False, seed=1
    )
    (choice,) = whole.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    Weather.model_validate_json(call.function.arguments)
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        tools=[WEATHER, NOW],
        tool_choice=NAMED,
        parallel_tool_calls=False,
        seed=1,
        stream=True,
    )
    news = [chunk.choices[0] for chunk in chunks]
    parts = [part for choice in news for part in choice.delta.tool_calls or []]
    assert (parts[0].id is not None, parts[0].type, parts[0].index) == (True, "function", 0)
    assert [part.function.name for part in parts if part.function and part.function.name] == ["get_weather"]
    arguments = "".join(part.function.arguments or "" for part in parts if part.function)
    assert arguments == call.function.arguments
    assert [choice.finish_reason for choice in news if choice.finish_reason] == ["tool_calls"]


def go_on_with_a_result(client: OpenAI) -> None:
    first = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[WEATHER], tool_choice="required", n=1)
    message = first.choices[0].message
    assert message.tool_calls
    results: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny."} for call in message.tool_calls
    ]
    told: ChatCompletionMessageParam = message.model_dump(exclude_none=True)  # type: ignore[assignment]
    after = client.chat.completions.create(
        model=MODEL, messages=[*QUESTION, told, *results], tools=[WEATHER], tool_choice="none", max_tokens=20
    )
    assert after.choices[0].message.content
    assert not after.choices[0].message.tool_calls


def use_the_helpers(client: OpenAI) -> None:
    tool = openai.pydantic_function_tool(Weather)
    parsed = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, tools=[tool], tool_choice="required", parallel_tool_calls=False
    )
    (call,) = parsed.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)
    with client.chat.completions.stream(
        model=MODEL, messages=QUESTION, tools=[tool], tool_choice="required", parallel_tool_calls=False
    ) as stream:
        kinds = {event.type for event in stream}
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert isinstance(call.function.parsed_arguments, Weather)


class Report(BaseModel):
    """What the weather was."""

    city: str = Field(max_length=10)
    is_sunny: bool


def ask_for_json_beside_tools(client: OpenAI) -> None:
    tool = openai.pydantic_function_tool(Weather)
    for seed in range(3):
        parsed = client.chat.completions.parse(
            model=MODEL, messages=QUESTION, tools=[tool], response_format=Report, seed=seed, max_tokens=200
        )
        (choice,) = parsed.choices
        calls = choice.message.tool_calls or []
        assert [type(call.function.parsed_arguments) for call in calls] == [Weather] * len(calls)
        assert bool(calls) == (choice.message.content is None) == (choice.finish_reason == "tool_calls")
        assert calls or isinstance(choice.message.parsed, Report)


def allow_some_tools(client: OpenAI) -> None:
    allowed: ChatCompletionAllowedToolChoiceParam = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]},
    }
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[WEATHER, NOW], tool_choice=allowed, parallel_tool_calls=False
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert (call.function.name, call.function.arguments) == ("now", "{}")


def see_a_refusal(client: OpenAI) -> None:
    bad: ChatCompletionToolParam = {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"$dynamicRef": "#none"}}}},
    }
    error = error_of(client, bad)
    assert error.param == "tools[0].function.parameters.properties.a.$dynamicRef"
    assert error.code == "invalid_grammar"


def error_of(client: OpenAI, tool: ChatCompletionToolParam) -> openai.BadRequestError:
    try:
        client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[tool])
    except openai.BadRequestError as error:
        return error
    raise AssertionError("no error")


if __name__ == "__main__":
    with OpenAI(base_url=f"{sys.argv[1]}/v1", max_retries=0, _strict_response_validation=True) as strict:
        for check in (
            call_whole_and_streamed,
            go_on_with_a_result,
            use_the_helpers,
            ask_for_json_beside_tools,
            allow_some_tools,
            see_a_refusal,
        ):
            check(strict)
