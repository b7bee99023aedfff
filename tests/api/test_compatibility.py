"""What docs/compatibility.md says of requests that other servers' suites send."""

from __future__ import annotations

from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from tests.api.conftest import Api

Json = dict[str, Any]

COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]
OPEN = [*MESSAGES, {"role": "assistant", "content": "I am"}]

REFUSED: list[tuple[Json, str, str]] = [  # what is said of it, where it is worth more than the name
    ({"messages": [{**MESSAGES[0], "extra": 1}]}, "messages[0].extra", ""),
    ({"messages": [{"role": "narrator", "content": "Hi"}]}, "messages[0].role", ""),
    ({"truncation_side": "right"}, "truncation_side", "needs truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": 4, "truncation_side": "middle"}, "truncation_side", "one of left, right"),
    ({"truncate_prompt_tokens": -1}, "truncate_prompt_tokens", ""),
    ({"prompt_logprobs": -1}, "prompt_logprobs", ""),
    ({"logprob_token_ids": [5]}, "logprob_token_ids", ""),
    ({"regex": "a"}, "regex", "use guided_regex"),
    ({"ebnf": "root ::= [a]"}, "ebnf", "use guided_grammar"),
    ({"grammar": "root ::= [a]"}, "grammar", "use guided_grammar"),
    ({"json_schema": {}}, "json_schema", "use response_format or guided_json"),
    ({"n_predict": 5}, "n_predict", "use max_tokens"),
    ({"n_probs": 2}, "n_probs", "use logprobs"),
    ({"repeat_penalty": 1.1}, "repeat_penalty", "use repetition_penalty"),
    ({"stop_regex": "a|b"}, "stop_regex", ""),
    ({"debug_config": {"ignore_eos": True}}, "debug_config", ""),
    ({"logit_bias": {"not_an_id": 1}}, "logit_bias.not_an_id", "not_an_id"),
    ({"logit_bias": {"99999": 1}}, "logit_bias.99999", "99999 is out of vocabulary"),
]


@pytest.mark.parametrize(("body", "param", "said"), REFUSED, ids=[row[1] for row in REFUSED])
async def test_what_is_not_served_is_refused_by_name(api: Api, body: Json, param: str, said: str) -> None:
    error = (await api.post(CHATS, {"messages": MESSAGES} | body, 400))["error"]
    assert error["param"] == param
    assert said in error["message"]


TAKEN: list[Json] = [
    {"truncation_side": "right", "truncate_prompt_tokens": 4},
    {"truncation_side": "left"},
    {"cache_prompt": True, "repeat_penalty": 1.0, "n_probs": 0, "mirostat": 0, "timings_per_token": False},
    {"stop": [], "tools": [], "tool_choice": "none", "top_logprobs": 0},
    {"messages": OPEN, "add_generation_prompt": True, "continue_final_message": True},
    {"messages": [{"role": "user", "content": ["Hi", {"type": "text", "text": "you"}]}]},
    {"messages": [{"role": "system", "content": "Be brief."}]},
    {"tools": [{"type": "function", "strict": True, "function": {"name": "f"}}], "tool_choice": "none"},
]


@pytest.mark.parametrize("body", TAKEN, ids=lambda body: "-".join(body))
async def test_what_asks_for_nothing_else_is_taken(api: Api, body: Json) -> None:
    await api.post(CHATS, {"messages": MESSAGES, "max_tokens": 2} | body)


async def test_token_ids_out_of_vocabulary_are_told_so(api: Api) -> None:
    error = (await api.post(COMPLETIONS, {"prompt": [5, 999_999]}, 400))["error"]
    assert error["message"].startswith("prompt[1] is out of vocabulary")


async def test_the_engine_is_never_asked_for_what_is_refused(api: Api) -> None:
    for body, _, _ in REFUSED:
        await api.post(CHATS, {"messages": MESSAGES, "stream": True} | body, 400)
    assert isinstance(api.engine, FakeEngine)
    assert api.engine.requests == []
