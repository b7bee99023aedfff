"""Every refusal of a chat's own fields: the field's path, streamed or not, and before anything runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ensue.api.bodies import UNSERVED_IN_CHAT, ChatBody
from ensue.api.names import known
from ensue.config import ServerConfig
from tests.api.conftest import Api, MakeApi

PATH = "/v1/chat/completions"
USER = {"role": "user", "content": "Hello"}
BAD = None
UNSUPPORTED = "unsupported_parameter"
Row = tuple[dict[str, Any], str | None, str]


def said(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": role, "content": content, **more}]}


def called(call: Any, role: str = "assistant") -> dict[str, Any]:
    return said(None, role, tool_calls=[call])


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
FUNCTION = "messages[1].tool_calls[0].function"
MESSAGES: list[Row] = [
    ({"messages": None}, BAD, "messages"),
    ({"messages": []}, BAD, "messages"),
    ({"messages": "Hello"}, BAD, "messages"),
    ({"messages": ["Hello"]}, BAD, "messages[0]"),
    ({"messages": [{}]}, BAD, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, BAD, "messages[0].content"),
    (said("x", "owner"), BAD, "messages[1].role"),
    (said(5), BAD, "messages[1].content"),
    (said([]), BAD, "messages[1].content"),
    (said(["x", 5]), BAD, "messages[1].content[1].type"),
    (said([{"type": "text"}]), BAD, "messages[1].content[0].text"),
    (said([{"type": "song", "song": "x"}]), BAD, "messages[1].content[0].type"),
    (said([{"type": "text", "text": "x", "cache_control": {}}]), UNSUPPORTED, "messages[1].content[0].cache_control"),
    (said([{"type": "text", "text": "x"}, IMAGE]), UNSUPPORTED, "messages[1].content[1].type"),
    (said([{"type": "input_audio", "input_audio": {}}]), UNSUPPORTED, "messages[1].content[0].type"),
    (said("x", name=5), BAD, "messages[1].name"),
    (said("x", "assistant", function_call={"name": "f"}), UNSUPPORTED, "messages[1].function_call"),
    (said("x", "assistant", audio={"id": "a"}), UNSUPPORTED, "messages[1].audio"),
    (said("x", contents="y"), "unknown_parameter", "messages[1].contents"),
    (called({"function": {"name": "f"}}, "user"), BAD, "messages[1].tool_calls"),
    (called("f"), BAD, "messages[1].tool_calls[0]"),
    (called({"function": {}}), BAD, f"{FUNCTION}.name"),
    *(
        (called({"function": {"name": "f", "arguments": a}}), BAD, f"{FUNCTION}.arguments")
        for a in ("{", "[]", 5, '{"a": "\\ud800"}', '{"a": NaN}')
    ),
    ({"messages": [USER] * 4097}, BAD, "messages"),
]
FIELDS: list[Row] = [
    *(({"max_tokens": value}, BAD, "max_tokens") for value in (0, -1, "5", True)),
    ({"max_completion_tokens": 0}, BAD, "max_completion_tokens"),
    *(({"logprobs": value}, BAD, "logprobs") for value in (1, "true", 0)),
    ({"top_logprobs": 1}, BAD, "top_logprobs"),
    *(({"logprobs": True, "top_logprobs": value}, BAD, "top_logprobs") for value in (21, -1, True)),
    ({"min_tokens": 2000}, BAD, "min_tokens"),
    ({"n": 129}, BAD, "n"),
    ({"temperature": 3}, BAD, "temperature"),
    ({"truncate_prompt_tokens": 1025}, BAD, "truncate_prompt_tokens"),
    ({"add_generation_prompt": 1}, BAD, "add_generation_prompt"),
    (
        {
            "continue_final_message": True,
            "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}],
        },
        BAD,
        "messages",
    ),
    ({"chat_template_kwargs": [1]}, BAD, "chat_template_kwargs"),
    *(
        ({"chat_template_kwargs": {name: 1}}, BAD, f"chat_template_kwargs.{name}")
        for name in ("messages", "self", "chat_template", "tools", "a b")
    ),
    ({"prompt": "x"}, "unknown_parameter", "prompt"),
    ({"suffix": "x"}, "unknown_parameter", "suffix"),
    ({"functions": [{"name": "f"}]}, UNSUPPORTED, "functions"),
    *(({name: 3}, UNSUPPORTED, name) for name in UNSERVED_IN_CHAT),
]
TABLE = [*MESSAGES, *FIELDS]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: json.dumps(row[0])[:70])
async def test_a_bad_field_is_refused_by_name_streamed_or_not(api: Api, row: Row, is_stream: bool) -> None:
    body, code, param = row
    error = (await api.post(PATH, {"messages": [USER], "stream": is_stream} | body, 400))["error"]
    assert (error["code"], error["param"]) == (code, param), error
    assert error["message"].isascii()
    assert not api.engine.requests


async def test_nulls_and_neutral_values_ask_for_nothing(api: Api) -> None:
    nulls: dict[str, Any] = dict.fromkeys(known(ChatBody))
    neutral = {name: values[0] for name, values in ChatBody.unserved.items() if values}
    more = {"top_logprobs": 0, "response_format": {"type": "text"}, "chat_template_kwargs": {}, "max_tokens": 2}
    for body in (nulls, neutral, more):
        await api.post(PATH, body | {"messages": [USER]})


async def test_unknown_names_may_be_warned_of(make_api: MakeApi) -> None:
    api = make_api(server=ServerConfig(unknown_parameters="warn"))
    body = {"messages": [USER | {"mood": "glad"}], "max_tokens": 1, "mood": "glad"}
    response = await api.client.post(PATH, json=body)
    assert response.status_code == 200
    assert "`mood`" in response.headers["warning"]
    assert "`messages[0].mood`" in response.headers["warning"]
