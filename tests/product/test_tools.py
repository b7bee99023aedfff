"""Tools with the bundled model, which was taught none: the masks make its calls valid all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.product.server import Server

PATH = "/v1/chat/completions"
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
}
PLACE = {"type": "object", "properties": {"place": {"enum": ["Paris", "Rome"]}}, "required": ["place"]}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "find", "parameters": PLACE, "strict": True}},
]
BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": TOOLS,
    "max_tokens": 300,
    "parallel_tool_calls": False,
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def assert_fits(call: dict[str, Any]) -> None:
    arguments = json.loads(call["arguments"])
    if call["name"] == "find":
        assert arguments["place"] in ("Paris", "Rome")
        assert arguments.keys() == {"place"}
    else:
        assert call["name"] == "get_weather"
        assert arguments.keys() == {"city", "unit", "days"}
        assert (len(arguments["city"]) <= 12, arguments["unit"] in "CF", 1 <= arguments["days"] <= 7) == (True,) * 3


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_forced_call_has_arguments_that_fit(server: Server, choice: Any, seed: int) -> None:
    body = BODY | {"tool_choice": choice, "seed": seed, "n": 3}
    choices = server.post(body, PATH)["choices"]
    for answer in choices:
        (call,) = answer["message"]["tool_calls"]
        assert (answer["finish_reason"], answer["message"]["content"]) == ("tool_calls", None)
        assert_fits(call["function"])
        assert choice == "required" or call["function"]["name"] == "get_weather"
    streamed = ["", "", ""]
    for event in server.events(body | {"stream": True}, PATH):
        for news in event["choices"]:
            calls = news["delta"].get("tool_calls", [])
            streamed[news["index"]] += "".join(call["function"]["arguments"] for call in calls)
            assert not news["delta"].get("content")
    assert streamed == [answer["message"]["tool_calls"][0]["function"]["arguments"] for answer in choices]


def test_several_calls_fit_each(server: Server) -> None:
    body = BODY | {"tool_choice": "required", "parallel_tool_calls": True, "seed": 3, "tools": TOOLS[1:]}
    (answer,) = server.post(body, PATH)["choices"]
    for call in answer["message"]["tool_calls"]:
        assert_fits(call["function"])


def test_a_conversation_goes_on_after_a_call(server: Server) -> None:
    (answer,) = server.post(BODY | {"tool_choice": NAMED, "temperature": 0}, PATH)["choices"]
    call = answer["message"]["tool_calls"][0]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "Sunny."}
    messages = [*BODY["messages"], answer["message"], result]
    (after,) = server.post(BODY | {"messages": messages, "temperature": 0, "max_tokens": 30}, PATH)["choices"]
    assert after["message"]["content"] or after["message"].get("tool_calls")


def test_a_free_answer_stays_text_where_the_model_calls_nothing(server: Server) -> None:
    plain = {"messages": BODY["messages"], "tools": TOOLS, "temperature": 0, "max_tokens": 30}
    free, none = (server.post(plain | more, PATH)["choices"][0] for more in ({}, {"tool_choice": "none"}))
    assert free["message"]["content"] == none["message"]["content"]
    assert free["finish_reason"] == none["finish_reason"]
