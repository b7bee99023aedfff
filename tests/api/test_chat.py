"""POST /v1/chat/completions: OpenAI's shape, and what each field of a chat does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from tests.api.conftest import Api, MakeApi

Says = Callable[..., FakeEngine]
Json = dict[str, Any]

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]
OPEN = [*MESSAGES, {"role": "assistant", "content": "I am "}]


async def chat(api: Api, **body: Any) -> Json:
    return await api.post(PATH, {"messages": MESSAGES, "max_tokens": 9} | body)


async def stream(api: Api, **body: Any) -> list[Any]:
    return await api.events_of(PATH, {"messages": MESSAGES, "max_tokens": 9} | body)


def prompt_of(api: Api, tokenizer: Tokenizer) -> str:
    """The last prompt that the engine got."""
    return tokenizer.decode(api.engine.requests[-1].prompt_token_ids)


async def test_an_answer_has_openais_shape(api: Api) -> None:
    answer = await chat(api, max_tokens=2)
    extensions = {"prompt_logprobs": None, "prompt_token_ids": None}  # null where not asked for: clients read them
    openai = {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert answer.keys() == openai | extensions.keys()
    assert answer | extensions == answer
    assert (answer["object"], answer["model"]) == ("chat.completion", "tiny")
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert choice.keys() == {"index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids"}
    assert choice["message"] == {"role": "assistant", "content": " one two", "refusal": None}
    assert (choice["finish_reason"], choice["logprobs"]) == ("length", None)
    assert answer["usage"]["completion_tokens"] == 2


async def test_the_prompt_is_the_templates_with_its_own_special_tokens_only(
    api: Api, tokenizer: Tokenizer, template: ChatTemplate
) -> None:
    await chat(api)
    ids = api.engine.requests[0].prompt_token_ids
    assert ids == tuple(tokenizer.encode(template.render(MESSAGES), add_special_tokens=False))
    assert ids.count(tokenizer.bos_token_id or 0) == 1
    await chat(api, add_special_tokens=True)
    assert api.engine.requests[1].prompt_token_ids == (tokenizer.bos_token_id, *ids)


async def test_the_answer_may_take_the_whole_context_by_default(api: Api) -> None:
    await api.post(PATH, {"messages": MESSAGES})
    request = api.engine.requests[0]
    assert request.max_tokens == 1024 - len(request.prompt_token_ids)
    await chat(api, max_tokens=None, max_completion_tokens=16)
    assert api.engine.requests[1].max_tokens == 16


async def test_all_roles_and_parts_of_type_text_are_read(make_api: MakeApi, tokenizer: Tokenizer) -> None:
    source = "{% for m in messages %}{{ m.role }}:{{ m.content }}:{{ m.name }}:{{ m.tool_call_id }};{% endfor %}"
    api = make_api(chat_template=ChatTemplate(source, {}))
    part = {"type": "text", "text": "c", "prompt_cache_breakpoint": {"mode": "explicit"}}
    messages = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        {"role": "user", "content": [part, {"type": "text", "text": "d"}], "name": "n"},
        {"role": "assistant", "content": "e", "refusal": None, "annotations": [], "tool_calls": None},
        {"role": "tool", "content": "f", "tool_call_id": "t"},
        {"role": "function", "content": "g"},
    ]
    await chat(api, messages=messages)
    assert prompt_of(api, tokenizer) == "system:a::;system:b::;user:c\nd:n:;assistant:e::;tool:f::t;function:g::;"


async def test_a_role_that_the_template_knows_stays(make_api: MakeApi, tokenizer: Tokenizer) -> None:
    api = make_api(chat_template=ChatTemplate("{# developer #}{{ messages[0].role }}", {}))
    await chat(api, messages=[{"role": "developer", "content": "b"}])
    assert prompt_of(api, tokenizer) == "developer"


async def test_past_calls_of_tools_reach_the_template_with_their_arguments(
    make_api: MakeApi, tokenizer: Tokenizer
) -> None:
    api = make_api(chat_template=ChatTemplate("{{ messages[0].tool_calls[0].function.arguments.city }}", {}))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"city": "Rome"}'}}
    await chat(api, messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert prompt_of(api, tokenizer) == "Rome"


async def test_variables_reach_the_template(make_api: MakeApi, tokenizer: Tokenizer) -> None:
    api = make_api(chat_template=ChatTemplate("{{ 'think' if enable_thinking else 'talk' }}", {}))
    await chat(api)
    assert prompt_of(api, tokenizer) == "talk"
    await chat(api, chat_template_kwargs={"enable_thinking": True})
    assert prompt_of(api, tokenizer) == "think"


async def test_the_final_message_is_continued(api: Api, tokenizer: Tokenizer) -> None:
    answer = await chat(api, messages=OPEN, continue_final_message=True, add_generation_prompt=True)
    assert prompt_of(api, tokenizer).endswith("<|im_start|>assistant\nI am ")
    assert answer["choices"][0]["message"]["content"].startswith(" one")
    await chat(api, add_generation_prompt=False)
    assert prompt_of(api, tokenizer).endswith("<|im_start|>user\nHello<|im_end|>\n")


async def test_an_echo_puts_the_assistants_message_before_its_continuation(api: Api) -> None:
    body = {"messages": OPEN, "continue_final_message": True, "echo": True, "max_tokens": 1, "n": 2}
    answer = await chat(api, **body)
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["I am  one"] * 2
    deltas = [event["choices"][0]["delta"] for event in await stream(api, **body | {"n": 1})]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "I am "}, {"content": " one"}]
    assert (await chat(api, echo=True, max_tokens=1))["choices"][0]["message"]["content"] == " one"


async def test_logprobs_are_a_list_of_tokens_with_their_bytes(says: Says, make_api: MakeApi) -> None:
    api = make_api(says(" one é"))
    choice = (await chat(api, logprobs=True, top_logprobs=2, max_tokens=2))["choices"][0]
    assert choice["logprobs"].keys() == {"content", "refusal"}
    first = choice["logprobs"]["content"][0]
    assert first.keys() == {"token", "logprob", "bytes", "top_logprobs"}
    assert (first["token"], bytes(first["bytes"])) == (" one", b" one")
    assert [top["token"] for top in first["top_logprobs"]] == ["<|begin_of_text|>", "<|end_of_text|>"]
    assert all(top.keys() == {"token", "logprob", "bytes"} for top in first["top_logprobs"])


async def test_the_bytes_of_a_split_character_join_to_its_text(says: Says, make_api: MakeApi) -> None:
    choice = (await chat(make_api(says("🦊 fox")), logprobs=True, max_tokens=9))["choices"][0]
    content = choice["logprobs"]["content"]
    whole = bytes(byte for entry in content for byte in entry["bytes"])
    assert whole.decode(errors="replace").startswith("🦊 fox")
    assert content[0]["token"].startswith("bytes:\\x")
    assert all(entry["top_logprobs"] == [] for entry in content)


async def test_tokens_may_be_named_by_their_ids(api: Api) -> None:
    choice = (await chat(api, logprobs=True, top_logprobs=1, return_tokens_as_token_ids=True))["choices"][0]
    assert choice["logprobs"]["content"][0]["top_logprobs"][0]["token"] == "token_id:0"


async def test_past_calls_are_told_as_the_template_reads_them(make_api: MakeApi, tokenizer: Tokenizer) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    messages = [*MESSAGES, {"role": "assistant", "content": None, "reasoning": "why", "tool_calls": [call]}]
    for shown, expected in (("| tojson", '{"a": 1}'), ("", '{"a": 1}'), ("| items | list", "[('a', 1)]")):
        source = (
            "{% for m in messages %}{{ m.content }};{{ m.reasoning_content }};{% for call in m.tool_calls or [] %}"
            "{{ call.function.arguments " + shown + " }}{% endfor %}{% endfor %}"
        )
        api = make_api(chat_template=ChatTemplate(source, {}))
        await chat(api, messages=messages)
        assert prompt_of(api, tokenizer) == f"Hello;;;why;{expected}"


async def test_a_stop_string_takes_its_tokens_along(api: Api) -> None:
    choice = (await chat(api, stop="three", logprobs=True))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]) == (
        " one two ",
        "stop",
        "three",
    )
    names = "".join(entry["token"] for entry in choice["logprobs"]["content"])
    assert names.startswith(" one two")


STREAMS: dict[str, Json] = {
    "plain": {},
    "several": {"n": 3},
    "logprobs": {"logprobs": True, "top_logprobs": 3, "max_tokens": 12},
    "stopped": {"stop": "four", "logprobs": True, "n": 2},
    "ids": {"return_token_ids": True, "prompt_logprobs": 1, "n": 2},
    "beams": {"use_beam_search": True, "n": 2, "best_of": 3, "logprobs": True},
    "echo": {"messages": OPEN, "continue_final_message": True, "echo": True},
}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_joined_is_the_unstreamed_answer(says: Says, make_api: MakeApi, name: str) -> None:
    api = make_api(says(" one two three 🙂 four five é"))
    whole = await chat(api, **STREAMS[name])
    *events, usage = await stream(api, **STREAMS[name], stream_options={"include_usage": True})
    assert [joined(events, index) for index in range(len(whole["choices"]))] == whole["choices"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    for name in ("prompt_logprobs", "prompt_token_ids"):
        assert [event[name] for event in events if name in event] == ([whole[name]] if whole[name] is not None else [])


def joined(events: list[Any], index: int) -> Json:
    """The choice that the events of a stream make."""
    choices = [choice for event in events for choice in event["choices"] if choice["index"] == index]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert ["role" in choice["delta"] for choice in choices[1:]] == [False] * (len(choices) - 1)
    assert [choice["finish_reason"] is None for choice in choices] == [True] * (len(choices) - 1) + [False]
    entries = [choice["logprobs"]["content"] for choice in choices if choice["logprobs"] is not None]
    content = "".join(choice["delta"].get("content", "") for choice in choices)
    whole = {
        "index": index,
        "message": {"role": "assistant", "content": content, "refusal": None},
        "logprobs": {"content": [*itertools.chain(*entries)], "refusal": None} if entries else None,
        "finish_reason": choices[-1]["finish_reason"],
        "stop_reason": choices[-1]["stop_reason"],
    }
    ids = [choice["token_ids"] for choice in choices if "token_ids" in choice]
    return whole | {"token_ids": [*itertools.chain(*ids)] if ids else None}


async def test_events_are_chunks_without_usage_unless_it_is_asked_for(api: Api) -> None:
    events = await stream(api, max_tokens=2)
    assert [event["choices"][0]["delta"] for event in events] == [
        {"role": "assistant", "content": ""},
        {"content": " one"},
        {"content": " two"},
    ]
    keys = {"id", "object", "created", "model", "system_fingerprint", "choices"}
    assert all(event.keys() == keys for event in events)
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1


async def test_an_end_without_text_has_an_empty_delta(says: Says, make_api: MakeApi) -> None:
    *_, last = await stream(make_api(says(" one<|im_end|>")), stop=["<|im_end|>"])
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")


async def test_usage_may_run_along(api: Api) -> None:
    events = await stream(api, max_tokens=3, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert [event["usage"]["completion_tokens"] for event in events] == [0, 1, 2, 3, 3]
    assert all(event["usage"]["total_tokens"] == sum(list(event["usage"].values())[:2]) for event in events)


async def test_a_model_without_a_template_says_how_to_give_one(make_api: MakeApi) -> None:
    error = (await make_api(chat_template=None).post(PATH, {"messages": MESSAGES}, 400))["error"]
    assert error["param"] == "messages"
    assert "--chat-template FILE" in error["message"]


async def test_a_conversation_longer_than_the_context_is_refused(api: Api) -> None:
    for content in ("word " * 3000, "a" * 100_000):
        error = (await api.post(PATH, {"messages": [{"role": "user", "content": content}]}, 400))["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        assert error["message"].startswith("This model's maximum context length is 1024 tokens")
    assert (await api.post(PATH, {"messages": MESSAGES, "max_tokens": 1020}, 400))["error"]["param"] == "max_tokens"


async def test_a_chat_needs_the_scope_chat(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys)
    for scope, status in (("completions", 403), ("chat", 200)):
        _, token = keys.create("k", KeyRights(scopes=frozenset([scope])))
        headers = {"authorization": f"Bearer {token}"}
        response = await api.client.post(PATH, json={"messages": MESSAGES}, headers=headers)
        assert response.status_code == status
