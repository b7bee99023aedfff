"""Tools in chats: each format from text to message, whole and streamed; what reaches the template; what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ensue.build.vocabulary import vocabulary_of
from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.guided.prover import Prover
from ensue.request import GenerationRequest
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from ensue.text.tool_format import call_format
from ensue.tools import FormatName, ToolSupport
from tests.api.conftest import Api, MakeApi

Json = dict[str, Any]
Ends = Callable[..., FakeEngine]

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Weather?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "get", "description": "Look.", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "list", "strict": False, "parameters": {}}},
]
NAMED = {"type": "function", "function": {"name": "get"}}
CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Rome"}}\n</tool_call>'
TWO = f'{CALL}\n<tool_call>\n{{"name": "list", "arguments": {{}}}}\n</tool_call>'
TEXTS: dict[FormatName, str] = {
    "hermes": CALL,
    "llama3": '{"name": "get", "parameters": {"city": "Rome"}}',
    "mistral": '[TOOL_CALLS][{"name": "get", "arguments": {"city": "Rome"}}]',
}


@pytest.fixture
def ends(tokenizer: Tokenizer) -> Ends:
    """Make an engine that says texts, one a sample, and ends."""

    def make(*texts: str) -> FakeEngine:
        def script(request: GenerationRequest, sample: int) -> Sequence[int]:
            ids = tokenizer.encode(texts[sample % len(texts)], add_special_tokens=False)
            return [*ids, tokenizer.eos_token_id or 0]

        return FakeEngine(script, logits_width=tokenizer.vocab_size, end_token_ids=(tokenizer.eos_token_id or 0,))

    return make


@pytest.fixture
async def prover(tokenizer: Tokenizer) -> AsyncIterator[Prover]:
    made = Prover(lambda: vocabulary_of(tokenizer))
    yield made
    await made.close()


async def chat(api: Api, **body: Any) -> Json:
    return await api.post(PATH, {"messages": MESSAGES, "tools": TOOLS} | body)


async def stream(api: Api, **body: Any) -> list[Json]:
    return await api.events_of(PATH, {"messages": MESSAGES, "tools": TOOLS} | body)


def accumulated(events: list[Json], index: int = 0) -> tuple[Json, str | None]:
    """The message that clients make of a stream, and its finish_reason."""
    content, calls, reasons = "", list[Json](), list[str]()
    for choice in (choice for event in events for choice in event["choices"] if choice["index"] == index):
        assert not reasons, "nothing comes after the end"
        content += choice["delta"].get("content") or ""
        for call in choice["delta"].get("tool_calls", ()):
            if "id" in call:
                assert call["index"] == len(calls)
                calls.append({"id": call["id"], "type": call["type"], "function": dict(call["function"])})
            else:
                calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    return {"content": content or None, "tool_calls": calls}, reasons[0]


def functions(message: Json) -> list[tuple[str, Json]]:
    calls = (call["function"] for call in message.get("tool_calls", ()))
    return [(call["name"], json.loads(call["arguments"])) for call in calls]


ROME = ("get", {"city": "Rome"})


@pytest.mark.parametrize("name", TEXTS)
async def test_a_call_is_read_whole_and_streamed(
    ends: Ends, make_api: MakeApi, tokenizer: Tokenizer, name: FormatName
) -> None:
    api = make_api(ends(TEXTS[name]), tool_support=ToolSupport(call_format(name, tokenizer)))
    (choice,) = (await chat(api))["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    (call,) = choice["message"]["tool_calls"]
    assert call.keys() == {"id", "type", "function"}
    assert len(call["id"]) == 9 if name == "mistral" else call["id"].startswith("call_")
    assert functions(choice["message"]) == [ROME]
    message, reason = accumulated(await stream(api))
    assert (functions(message), message["content"], reason) == ([ROME], None, "tool_calls")


async def test_a_stream_names_a_call_first_and_then_sends_its_arguments(ends: Ends, make_api: MakeApi) -> None:
    events = await stream(make_api(ends(f"I look.\n{TWO}")))
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas[0] == {"role": "assistant", "content": ""}
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert "".join(delta.get("content", "") for delta in deltas) == "I look."
    assert calls[0].keys() == {"index", "id", "type", "function"}
    assert calls[0]["function"] == {"name": "get", "arguments": ""}
    assert all(call.keys() == {"index", "function"} for call in calls[1:] if "name" not in call["function"])
    assert [call["index"] for call in calls] == sorted(call["index"] for call in calls)
    assert sum("finish_reason" in event["choices"][0] for event in events if event["choices"][0]["finish_reason"]) == 1


async def test_text_and_calls_stand_in_one_message(ends: Ends, make_api: MakeApi) -> None:
    (choice,) = (await chat(make_api(ends(f"I look.\n\n{TWO}"))))["choices"]
    assert choice["message"]["content"] == "I look."
    assert functions(choice["message"]) == [ROME, ("list", {})]
    (choice,) = (await chat(make_api(ends("Sunny. <b>"))))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Sunny. <b>", "stop")
    assert "tool_calls" not in choice["message"]


async def test_a_call_that_is_cut_says_length_and_gives_what_there_is(ends: Ends, make_api: MakeApi) -> None:
    api, seen = make_api(ends(CALL)), set()
    for max_tokens in range(1, 40):
        (choice,) = (await chat(api, max_tokens=max_tokens))["choices"]
        message, reason = accumulated(await stream(api, max_tokens=max_tokens))
        assert message["content"] == (choice["message"]["content"] or None)
        assert reason == choice["finish_reason"]
        calls = choice["message"].get("tool_calls", [])
        assert [call["function"] for call in calls] == [call["function"] for call in message["tool_calls"]]
        seen |= {(reason, call["function"]["arguments"]) for call in calls}
    assert ("tool_calls", '{"city": "Rome"}') in seen
    assert any(reason == "length" and not arguments.endswith("}") for reason, arguments in seen)


async def test_each_choice_has_its_own_calls(ends: Ends, make_api: MakeApi) -> None:
    api = make_api(ends(CALL, "Sunny.", TWO))
    choices = (await chat(api, n=3))["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["tool_calls", "stop", "tool_calls"]
    events = await stream(api, n=3)
    for index, choice in enumerate(choices):
        message, reason = accumulated(events, index)
        assert (functions(message), reason) == (functions(choice["message"]), choice["finish_reason"])


async def test_log_probabilities_and_ids_of_all_tokens_are_told(ends: Ends, make_api: MakeApi) -> None:
    api = make_api(ends(f"Hm. {CALL}"))
    body: Json = {"logprobs": True, "return_token_ids": True}
    (choice,) = (await chat(api, **body))["choices"]
    events = [event["choices"][0] for event in await stream(api, **body)]
    told = [entry for event in events if event["logprobs"] for entry in event["logprobs"]["content"]]
    assert told == choice["logprobs"]["content"]
    assert [id_ for event in events for id_ in event.get("token_ids", ())] == choice["token_ids"]
    assert len(told) == len(choice["token_ids"])


async def test_usage_counts_what_is_not_shown(ends: Ends, make_api: MakeApi) -> None:
    api = make_api(ends(CALL))
    whole = await chat(api)
    events = await stream(api, stream_options={"include_usage": True})
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


async def test_where_no_tools_may_be_called_a_text_is_never_read_as_calls(ends: Ends, make_api: MakeApi) -> None:
    api = make_api(ends(CALL))
    bodies: list[Json] = [{"tool_choice": "none"}, {"tools": []}, {"tools": None, "tool_choice": "auto"}]
    for body in bodies:
        (choice,) = (await chat(api, **body))["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (CALL, "stop")
        assert accumulated(await stream(api, **body))[0]["content"] == CALL


# ---- what the model is told


def prompt_of(api: Api, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(api.engine.requests[-1].prompt_token_ids)


async def test_tools_reach_the_template_even_where_none_may_be_called(
    ends: Ends, make_api: MakeApi, tokenizer: Tokenizer
) -> None:
    api = make_api(ends("x"), chat_template=ChatTemplate("{{ tools | tojson }}{{ messages[0].content }}", {}))
    await chat(api, tool_choice="none")
    shown, _, _ = prompt_of(api, tokenizer).rpartition("Weather?")
    first, second = json.loads(shown)
    assert first == {"type": "function", "function": {"name": "get", "description": "Look.", "parameters": PARAMETERS}}
    assert second["function"]["parameters"]["properties"] == {}


PAST: list[Json] = [
    {"role": "system", "content": "Be short."},
    *MESSAGES,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get", "arguments": '{"city":"Rome"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Sunny"}]},
]
PLAIN = "{% for m in messages %}<{{ m['role'] }}>" + "{{ m['content'] }}\n{% endfor %}"


@pytest.mark.parametrize("source", [None, PLAIN])
async def test_tools_calls_and_results_reach_a_model_with_or_without_words_for_them(
    ends: Ends, make_api: MakeApi, tokenizer: Tokenizer, source: str | None
) -> None:
    more: Json = {} if source is None else {"chat_template": ChatTemplate(source, {})}
    api = make_api(ends(CALL), **more)
    (choice,) = (await chat(api, messages=PAST))["choices"]
    prompt = prompt_of(api, tokenizer)
    assert prompt.index("Be short.") < prompt.index('{"type": "function", "function": {"name": "get"')
    assert CALL in prompt
    assert "<tool_response>\nSunny\n</tool_response>" in prompt
    assert functions(choice["message"]) == [ROME]


async def test_tools_count_where_messages_are_tokenized(api: Api) -> None:
    with_tools = await api.post("/tokenize", {"messages": MESSAGES, "tools": TOOLS})
    assert with_tools["count"] > (await api.post("/tokenize", {"messages": MESSAGES}))["count"] + 50
    assert (await api.post("/tokenize", {"prompt": "x", "tools": TOOLS}, 400))["error"]["param"] == "tools"


# ---- what constrains an answer


async def test_a_forced_choice_constrains_the_answer(ends: Ends, make_api: MakeApi, prover: Prover) -> None:
    api = make_api(ends(CALL), prover=prover)
    named = {"type": "function", "function": {"name": "get"}}
    for body in ({"tool_choice": "required"}, {"tool_choice": named}, {"parallel_tool_calls": False}, {}):
        (choice,) = (await chat(api, **body))["choices"]
        assert functions(choice["message"]) == [ROME]
        assert choice["finish_reason"] == "tool_calls"
    grammars = [request.grammar for request in api.engine.requests]
    assert len({grammar.digest for grammar in grammars if grammar is not None}) == 4


@pytest.mark.parametrize("mode", ["auto", "required"])
async def test_allowed_tools_are_all_that_may_be_called(
    ends: Ends, make_api: MakeApi, tokenizer: Tokenizer, prover: Prover, mode: str
) -> None:
    api = make_api(ends(CALL), prover=prover)
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [NAMED]}}
    (choice,) = (await chat(api, tool_choice=allowed))["choices"]
    assert functions(choice["message"]) == [ROME]
    assert '"name": "list"' in prompt_of(api, tokenizer)
    grammar = api.engine.requests[-1].grammar
    assert grammar is not None
    assert b"call_0" in grammar.payload
    assert b"call_1" not in grammar.payload


async def test_a_stop_string_ends_text_but_no_call(ends: Ends, make_api: MakeApi, prover: Prover) -> None:
    api = make_api(ends(CALL), prover=prover)
    (choice,) = (await chat(api, stop=["Rome"]))["choices"]
    assert functions(choice["message"]) == [ROME]
    api = make_api(ends("It is Rome."), prover=prover)
    assert (await chat(api, stop=["Rome"]))["choices"][0]["message"]["content"] == "It is "


async def test_parameters_that_cannot_be_enforced_are_refused_at_their_place(make_api: MakeApi, prover: Prover) -> None:
    bad = {"type": "object", "properties": {"a": {"$dynamicRef": "#none"}}}
    tools = [*TOOLS, {"type": "function", "function": {"name": "f", "parameters": bad}}]
    error = (await make_api(prover=prover).post(PATH, {"messages": MESSAGES, "tools": tools}, 400))["error"]
    assert error["param"] == "tools[2].function.parameters.properties.a.$dynamicRef"
    assert error["code"] == "invalid_grammar"


UNKNOWN, UNSUPPORTED = "unknown_parameter", "unsupported_parameter"
FORMAT = {"type": "json_object"}
REFUSED: list[tuple[Json, str | None, str]] = [
    ({"tools": {}}, None, "tools"),
    ({"tools": [1]}, None, "tools[0]"),
    ({"tools": [{"type": "custom"}]}, UNSUPPORTED, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, None, "tools[0].function"),
    ({"tools": [{**TOOLS[0], "cache": 1}]}, UNKNOWN, "tools[0].cache"),
    ({"tools": [TOOLS[0], TOOLS[0]]}, None, "tools[1].function.name"),
    *(
        ({"tools": [{"type": "function", "function": {"name": "f"} | bad}]}, code, f"tools[0].function.{param}")
        for bad, code, param in (
            ({"name": None}, None, "name"),
            ({"name": "a b"}, None, "name"),
            ({"name": "a" * 65}, None, "name"),
            ({"description": 1}, None, "description"),
            ({"parameters": "{}"}, None, "parameters"),
            ({"strict": 1}, None, "strict"),
            ({"returns": {}}, UNKNOWN, "returns"),
        )
    ),
    ({"tools": TOOLS * 65}, None, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "f", "description": "d" * 131072}}]}, None, "tools"),
    ({"tool_choice": "always"}, None, "tool_choice"),
    ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, UNSUPPORTED, "tool_choice.type"),
    *(
        ({"tool_choice": {"type": "allowed_tools"} | {"allowed_tools": bad}}, code, f"tool_choice{param}")
        for bad, code, param in (
            (None, None, ".allowed_tools"),
            ({"mode": "none", "tools": [NAMED]}, None, ".allowed_tools.mode"),
            ({"mode": "auto", "tools": []}, None, ".allowed_tools.tools"),
            ({"mode": "auto", "tools": [1]}, None, ".allowed_tools.tools[0]"),
            ({"mode": "auto", "tools": [NAMED | {"x": 1}]}, UNKNOWN, ".allowed_tools.tools[0].x"),
            ({"mode": "auto", "tools": [NAMED], "x": 1}, UNKNOWN, ".allowed_tools.x"),
            ({"mode": "auto", "tools": [NAMED, {"type": "function", "function": {"name": "z"}}]}, None, ""),
        )
    ),
    ({"tools": [{**TOOLS[0], "strict": 1}]}, None, "tools[0].strict"),
    ({"tool_choice": {"type": "function", "function": {"name": 1}}}, None, "tool_choice.function.name"),
    ({"tool_choice": {"type": "function", "function": {"name": "put"}}}, None, "tool_choice"),
    ({"tools": None, "tool_choice": "required"}, None, "tool_choice"),
    ({"tools": None, "parallel_tool_calls": False}, None, "parallel_tool_calls"),
    ({"parallel_tool_calls": 1}, None, "parallel_tool_calls"),
    ({"functions": [{"name": "f"}]}, UNSUPPORTED, "functions"),
    ({"function_call": {"name": "f"}}, UNSUPPORTED, "function_call"),
    ({"tool_choice": "required"}, UNSUPPORTED, "tools"),  # nothing proves constraints here
]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("row", REFUSED, ids=lambda row: json.dumps(row[0])[:70])
async def test_a_bad_field_is_refused_by_name(api: Api, row: tuple[Json, str | None, str], is_stream: bool) -> None:
    body, code, param = row
    error = (await api.post(PATH, {"messages": MESSAGES, "tools": TOOLS, "stream": is_stream} | body, 400))["error"]
    assert (error["code"], error["param"]) == (code, param), error
    assert error["message"].isascii()


ANSWER = '{"city": "<tool_call>"}'


@pytest.mark.parametrize("text", [CALL, TWO, ANSWER])
async def test_with_a_response_format_an_answer_is_calls_or_json(
    ends: Ends, make_api: MakeApi, prover: Prover, text: str
) -> None:
    engine = ends(text)
    engine.info = replace(engine.info, unsupported=())
    api = make_api(engine, prover=prover)
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": PARAMETERS}}
    (choice,) = (await chat(api, response_format=asked))["choices"]
    message, reason = accumulated(await stream(api, response_format=asked))
    is_text = text is ANSWER
    assert (message["content"], reason) == ((ANSWER, "stop") if is_text else (None, "tool_calls"))
    assert (choice["message"]["content"], choice["finish_reason"]) == (message["content"], reason)
    assert functions(message) == functions(choice["message"])
    assert len(functions(message)) == (0 if is_text else text.count("<tool_call>"))


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_a_response_format_beside_tools_is_refused_at_its_place(
    ends: Ends, make_api: MakeApi, prover: Prover, choice: str
) -> None:
    engine = ends("x")
    engine.info = replace(engine.info, unsupported=())
    schema = {"type": "object", "properties": {"a": {"$dynamicRef": "#none"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = {"messages": MESSAGES, "tools": TOOLS, "tool_choice": choice, "response_format": asked}
    error = (await make_api(engine, prover=prover).post(PATH, body, 400))["error"]
    assert error["param"] == "response_format.json_schema.schema.properties.a.$dynamicRef"


@pytest.mark.parametrize(("choice", "status"), [("auto", 400), ("none", 200), ("required", 200)])
async def test_where_calls_look_like_json_no_response_format_stands_beside_a_free_choice(
    ends: Ends, make_api: MakeApi, tokenizer: Tokenizer, prover: Prover, choice: str, status: int
) -> None:
    engine = ends(TEXTS["llama3"])
    engine.info = replace(engine.info, unsupported=())
    api = make_api(engine, tool_support=ToolSupport(call_format("llama3", tokenizer)), prover=prover)
    body = {"messages": MESSAGES, "tools": TOOLS, "tool_choice": choice, "response_format": FORMAT}
    answer = await api.post(PATH, body, status)
    assert status == 200 or answer["error"]["param"] == "response_format"


@pytest.mark.parametrize("name", ["guided_whitespace_pattern", "guided_json", "guided_regex"])
async def test_nothing_else_may_constrain_an_answer_that_calls_tools(
    ends: Ends, tokenizer: Tokenizer, make_api: MakeApi, name: str
) -> None:
    values: Json = {"guided_whitespace_pattern": " *", "guided_json": PARAMETERS, "guided_regex": "a"}
    body = {"messages": MESSAGES, "tools": TOOLS, name: values[name]}
    engine = ends("x")
    engine.info = replace(engine.info, unsupported=())
    assert (await make_api(engine).post(PATH, body, 400))["error"]["param"] == name


async def test_an_unknown_format_is_refused_only_where_the_model_would_choose_it(
    ends: Ends, make_api: MakeApi, tokenizer: Tokenizer, prover: Prover
) -> None:
    own = ToolSupport(call_format("hermes", tokenizer), is_known=False)
    api = make_api(ends(CALL), tool_support=own, prover=prover)
    error = (await api.post(PATH, {"messages": MESSAGES, "tools": TOOLS}, 400))["error"]
    assert (error["code"], error["param"]) == (UNSUPPORTED, "tools")
    assert "--tool-call-parser" in error["message"]
    assert functions((await chat(api, tool_choice="required"))["choices"][0]["message"]) == [ROME]


async def test_the_bounds_of_tools_are_settings(make_api: MakeApi) -> None:
    for limits in (LimitsConfig(max_tools=1), LimitsConfig(max_tools_bytes=99)):
        api = make_api(limits=limits)
        assert (await api.post(PATH, {"messages": MESSAGES, "tools": TOOLS}, 400))["error"]["param"] == "tools"
