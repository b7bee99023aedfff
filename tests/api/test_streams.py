"""Streams, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from ensue.errors import EngineDead, GenerationFailed
from tests.api.conftest import Api, MakeApi
from tests.joined import joined

Says = Callable[..., FakeEngine]

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"max_tokens": 9},
    "several": {"prompt": ["x", "y"], "n": 2, "max_tokens": 5},
    "logprobs": {"max_tokens": 9, "logprobs": 3},
    "echo": {"prompt": [[7, 8, 9], [0, 40]], "echo": True, "logprobs": 2, "max_tokens": 4},
    "scored": {"prompt": "some text", "echo": True, "logprobs": 2, "max_tokens": 0},
    "stopped": {"stop": "four", "logprobs": 1, "max_tokens": 99, "n": 3},
    "unicode": {"prompt": "é", "echo": True, "max_tokens": 12},
    "ids": {"prompt": [[7, 8, 9], [0, 40]], "return_token_ids": True, "prompt_logprobs": 1, "n": 2, "max_tokens": 9},
    "named by id": {"return_tokens_as_token_ids": True, "logprobs": 2, "max_tokens": 9, "echo": True},
    "suffix": {"suffix": " end", "echo": True, "max_tokens": 9},
    "truncated": {"prompt": "one two three", "truncate_prompt_tokens": 2, "echo": True, "logprobs": 0, "max_tokens": 5},
    "beams": {"use_beam_search": True, "n": 2, "best_of": 3, "logprobs": 1, "echo": True, "max_tokens": 6},
    "stop kept": {
        "stop": "four",
        "include_stop_str_in_output": True,
        "min_tokens": 20,
        "max_tokens": 99,
        "logprobs": 0,
    },
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_stream_joined_is_the_unstreamed_answer(says: Says, make_api: MakeApi, name: str) -> None:
    api = make_api(says(" one two three 🙂 four five é"))
    whole = await api.complete(REQUESTS[name])
    *events, usage = await api.events(**REQUESTS[name], stream_options={"include_usage": True})
    assert joined(events) == whole["choices"]
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]


async def test_what_belongs_to_the_prompt_comes_with_the_first_event_of_a_choice(api: Api) -> None:
    events = await api.events(n=2, return_token_ids=True, prompt_logprobs=0, max_tokens=3, echo=True)
    choices = [event["choices"][0] for event in events]
    assert ["prompt_token_ids" in choice for choice in choices] == [True, True, False, False, False, False]
    assert ["prompt_logprobs" in choice for choice in choices] == [True, True, False, False, False, False]
    assert [len(choice["token_ids"]) for choice in choices] == [1] * 6
    assert [choice["text"].startswith("x") for choice in choices] == [True, True, False, False, False, False]


async def test_each_beam_comes_whole(api: Api) -> None:
    options = {"include_usage": True}
    *events, usage = await api.events(use_beam_search=True, n=2, best_of=4, max_tokens=5, stream_options=options)
    choices = [event["choices"][0] for event in events]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices] == [(0, "length"), (1, "length")]
    assert usage["usage"]["completion_tokens"] == 10


async def test_the_bytes_of_a_stream(api: Api) -> None:
    response = await api.client.post("/v1/completions", json={"prompt": "x", "stream": True, "max_tokens": 2})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert b"\r" not in response.content
    assert response.content.endswith(b"\n\ndata: [DONE]\n\n")
    first = response.content.split(b"\n\n")[0].removeprefix(b"data: ")
    assert first == json.dumps(json.loads(first), separators=(",", ":"), ensure_ascii=False).encode()


async def test_finish_reason_comes_once_with_the_last_text(api: Api) -> None:
    choices = [event["choices"][0] for event in await api.events(max_tokens=4)]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "length"]
    assert all(choice["text"] for choice in choices)


async def test_an_end_without_text_has_an_event_of_its_own(says: Says, make_api: MakeApi) -> None:
    events = await make_api(says(" a<|end_of_text|>")).events()
    last = events[-1]["choices"][0]
    assert (last["text"], last["finish_reason"]) == ("", "stop")


async def test_a_token_without_text_sends_no_event(says: Says, make_api: MakeApi) -> None:
    api = make_api(says("🙂"))
    num_tokens = (await api.complete({"max_tokens": 8}))["usage"]["completion_tokens"]
    events = await api.events(max_tokens=8)
    assert len(events) < num_tokens
    assert not any("�" in event["choices"][0]["text"] for event in events[:-1])


async def test_only_a_live_prefix_of_a_stop_string_is_held_back(says: Says, make_api: MakeApi) -> None:
    texts = [e["choices"][0]["text"] for e in await make_api(says(" a b c")).events(stop=" b d", max_tokens=6)]
    assert "".join(texts) == " a b c a b c"
    assert texts[0] == " a"


async def test_without_include_usage_there_is_no_usage_key(api: Api) -> None:
    assert all("usage" not in event for event in await api.events(max_tokens=2))


async def test_with_include_usage_each_event_has_null_but_the_last(api: Api) -> None:
    *events, last = await api.events(max_tokens=2, stream_options={"include_usage": True})
    assert all(event["usage"] is None for event in events)
    assert last["usage"]["completion_tokens"] == 2


async def test_continuous_usage_grows(api: Api) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = await api.events(max_tokens=3, stream_options=options)
    assert [event["usage"]["completion_tokens"] for event in events] == [1, 2, 3, 3]


async def test_continuous_usage_goes_with_include_usage(api: Api) -> None:
    events = await api.events(max_tokens=2, stream_options={"continuous_usage_stats": True})
    assert all("usage" not in event for event in events)


async def test_a_failure_after_the_first_byte_is_an_event(says: Says, make_api: MakeApi) -> None:
    engine = says(" a b", error=EngineDead("It is being restarted."), error_after=2)
    *_, last = await make_api(engine).events()
    assert last["error"]["code"] == "engine_restarting"


async def test_a_failure_before_the_first_byte_is_a_status(says: Says, make_api: MakeApi) -> None:
    for error in (GenerationFailed("No."), EngineDead("No.")):
        response = await make_api(says("a", error=error)).client.post(
            "/v1/completions", json={"prompt": "x", "stream": True}
        )
        assert response.status_code == error.status


async def test_events_of_one_stream_share_id_and_time(api: Api) -> None:
    events = await api.events(max_tokens=3, n=2)
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1
