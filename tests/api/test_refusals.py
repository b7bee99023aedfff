"""Every refusal of a field: status, code, the field's path, a sentence; the same streamed, and before anything runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ensue.api.bodies import UNSERVED
from ensue.config import LimitsConfig
from tests.api.conftest import Api, MakeApi

BAD = None  # the code of a bad value
UNSUPPORTED = "unsupported_parameter"
BEAMS = {"use_beam_search": True}
Row = tuple[dict[str, Any], str | None, str]  # the body, without its prompt where that is good; code; param

INPUT: list[Row] = [
    ({"prompt": []}, BAD, "prompt"),
    ({"prompt": None}, BAD, "prompt"),
    ({"prompt": [[]]}, BAD, "prompt[0]"),
    ({"prompt": ["a", 5]}, BAD, "prompt[1]"),
    ({"prompt": [5, "a"]}, BAD, "prompt[1]"),
    ({"prompt": [[5], "a"]}, BAD, "prompt[1]"),
    ({"prompt": [5, True]}, BAD, "prompt[1]"),
    ({"prompt": [True]}, BAD, "prompt"),
    ({"prompt": [5, 1.5]}, BAD, "prompt[1]"),
    ({"prompt": [5, 6, 7, -1]}, BAD, "prompt[3]"),
    ({"prompt": [[5], [6, 2**31]]}, BAD, "prompt[1][1]"),
    ({"prompt": [2**63]}, BAD, "prompt[0]"),
    ({"prompt": {"a": 1}}, BAD, "prompt"),
    ({"prompt": 5}, BAD, "prompt"),
    ({"prompt": ["a"] * 129}, BAD, "prompt"),
    ({"model": 5}, BAD, "model"),
    ({"suffix": 5}, BAD, "suffix"),
    ({"suffix": ["a"]}, BAD, "suffix"),
    ({"suffix": "b", "prompt": [[5, 6]]}, BAD, "suffix"),
    ({"suffix": "b", "echo": True, "logprobs": 0}, BAD, "logprobs"),
    ({"echo": "true"}, BAD, "echo"),
    ({"truncate_prompt_tokens": 0}, BAD, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": -1}, BAD, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": 1025}, BAD, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": True}, BAD, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": 5, "prompt": [5] * 9 + [-1]}, BAD, "prompt[9]"),
    ({"add_special_tokens": 0}, BAD, "add_special_tokens"),
]
AMOUNTS: list[Row] = [
    *(({"max_tokens": value}, BAD, "max_tokens") for value in ("5", -1, True, 1.5, 0, 2**63, [5])),
    *(({"max_completion_tokens": value}, BAD, "max_completion_tokens") for value in ("5", -1, True, 1.5)),
    ({"max_completion_tokens": 0}, BAD, "max_tokens"),
    ({"max_tokens": 2000}, "context_length_exceeded", "max_tokens"),
    ({"prompt": [[5] * 2000]}, "context_length_exceeded", "prompt[0]"),
    *(({"min_tokens": value}, BAD, "min_tokens") for value in (-1, "5", True, 1.5, 17)),
    ({"min_tokens": 6, "max_tokens": 5}, BAD, "min_tokens"),
    ({"min_tokens": 6, "max_completion_tokens": 5}, BAD, "min_tokens"),
    ({"min_tokens": 1, "max_tokens": 0, "echo": True}, BAD, "min_tokens"),
    *(({"n": value}, BAD, "n") for value in (0, -1, 129, 2**31, 2**64, "5", True, 1.5)),
    *(({"best_of": value}, BAD, "best_of") for value in (0, -1, 21, 2**31, "5", True, 1.5)),
    ({"n": 3, "best_of": 2}, BAD, "best_of"),
    ({"n": 2, "best_of": 1}, BAD, "best_of"),
    ({"n": 30, "best_of": 31}, BAD, "best_of"),
    ({"prompt": ["a"] * 100, "n": 3}, BAD, "n"),
    ({"prompt": ["a"] * 100, "best_of": 3}, BAD, "best_of"),
    ({"prompt": ["a"] * 128, "best_of": 3, **BEAMS}, BAD, "best_of"),
    ({"use_beam_search": 1}, BAD, "use_beam_search"),
    ({"best_of": 1, **BEAMS}, BAD, "best_of"),
    ({"n": 1, "best_of": 1, **BEAMS}, BAD, "best_of"),
    ({"n": 3, "best_of": 2, **BEAMS}, BAD, "best_of"),
    ({"best_of": 21, **BEAMS}, BAD, "best_of"),
    ({"temperature": 0.7, **BEAMS}, BAD, "temperature"),
    ({"top_p": 0.9, **BEAMS}, BAD, "top_p"),
    ({"top_k": 5, **BEAMS}, BAD, "top_k"),
    ({"min_p": 0.1, **BEAMS}, BAD, "min_p"),
    *(({"length_penalty": value, **BEAMS}, BAD, "length_penalty") for value in ("1", True, [1])),
    ({"length_penalty": 2.0}, BAD, "length_penalty"),
    ({"length_penalty": 0, "n": 3, "temperature": 0}, BAD, "length_penalty"),
    *(({"early_stopping": value, **BEAMS}, BAD, "early_stopping") for value in (1, "always", 0, [True])),
    ({"early_stopping": True}, BAD, "early_stopping"),
    ({"early_stopping": "never"}, BAD, "early_stopping"),
    ({"ignore_eos": 1}, BAD, "ignore_eos"),
    ({"stop": ""}, BAD, "stop[0]"),
    ({"stop": ["a", ""]}, BAD, "stop[1]"),
    ({"stop": ["a", 5]}, BAD, "stop[1]"),
    ({"stop": 5}, BAD, "stop"),
    ({"stop": [str(i) for i in range(17)]}, BAD, "stop"),
    ({"stop": ["a"] * 1000}, BAD, "stop"),
    ({"stop": "a" * 257}, BAD, "stop[0]"),
    ({"stop_token_ids": 5}, BAD, "stop_token_ids"),
    ({"stop_token_ids": [5, "a"]}, BAD, "stop_token_ids[1]"),
    ({"stop_token_ids": [5, -1]}, BAD, "stop_token_ids[1]"),
    ({"stop_token_ids": [5, True]}, BAD, "stop_token_ids[1]"),
    ({"stop_token_ids": [5, 10**6]}, BAD, "stop_token_ids[1]"),
    ({"stop_token_ids": [5] * 1025}, BAD, "stop_token_ids"),
    ({"include_stop_str_in_output": "no"}, BAD, "include_stop_str_in_output"),
]
SAMPLING: list[Row] = [
    *(({"temperature": value}, BAD, "temperature") for value in (-0.1, 2.1, "1", True, 10**400)),
    *(({"top_p": value}, BAD, "top_p") for value in (-0.1, 1.1, "1", True)),
    *(({"top_k": value}, BAD, "top_k") for value in (-2, 1.5, "1", True, 2**63)),
    *(({"min_p": value}, BAD, "min_p") for value in (-0.1, 1.1, "0", False)),
    *(({"frequency_penalty": value}, BAD, "frequency_penalty") for value in (-2.1, 2.1, "0", True)),
    *(({"presence_penalty": value}, BAD, "presence_penalty") for value in (-2.1, 2.1, "0", True)),
    *(({"repetition_penalty": value}, BAD, "repetition_penalty") for value in (0, -1, "1", True, 10**400)),
    *(({"logit_bias": value}, BAD, "logit_bias") for value in ([7, 1], "7", 7, True)),
    *(({"logit_bias": {"7": value}}, BAD, "logit_bias.7") for value in (-100.1, 100.1, "1", True, None, 10**400)),
    *(({"logit_bias": {"3": 1, key: 1}}, BAD, f"logit_bias.{key}") for key in ("a", "1.5", "", "+7", "-1", "1e3")),
    ({"logit_bias": {"1000000": 1}}, BAD, "logit_bias.1000000"),
    ({"logit_bias": {"9" * 99: 1}}, BAD, f"logit_bias.{'9' * 64}..."),
    ({"logit_bias": {"7": 1, "07": 1}}, BAD, "logit_bias.07"),
    ({"logit_bias": {str(i): 0 for i in range(1025)}}, BAD, "logit_bias"),
    ({"allowed_token_ids": []}, BAD, "allowed_token_ids"),
    ({"allowed_token_ids": 5}, BAD, "allowed_token_ids"),
    ({"allowed_token_ids": [1, 2, 3, "a"]}, BAD, "allowed_token_ids[3]"),
    ({"allowed_token_ids": [1, 2, 3, True]}, BAD, "allowed_token_ids[3]"),
    ({"allowed_token_ids": [1, 2, 3, -1]}, BAD, "allowed_token_ids[3]"),
    ({"allowed_token_ids": [1, 2, 3, 10**6]}, BAD, "allowed_token_ids[3]"),
    ({"allowed_token_ids": [2**63]}, BAD, "allowed_token_ids[0]"),
    ({"bad_words": "a"}, BAD, "bad_words"),
    ({"bad_words": ["a", "b", ""]}, BAD, "bad_words[2]"),
    ({"bad_words": ["a", "b", 5]}, BAD, "bad_words[2]"),
    ({"bad_words": ["a", "b", "c" * 257]}, BAD, "bad_words[2]"),
    ({"bad_words": ["a"] * 257}, BAD, "bad_words"),
    *(({"seed": value}, BAD, "seed") for value in (2**63, -(2**63) - 1, 1.5, "1", True)),
]
OUTPUT: list[Row] = [
    *(({"logprobs": value}, BAD, "logprobs") for value in (21, -1, True, "1", 1.5)),
    *(({"prompt_logprobs": value}, BAD, "prompt_logprobs") for value in (21, -1, True, "1", 1.5)),
    ({"return_token_ids": 1}, BAD, "return_token_ids"),
    ({"return_tokens_as_token_ids": "true"}, BAD, "return_tokens_as_token_ids"),
    ({"skip_special_tokens": 0}, BAD, "skip_special_tokens"),
    ({"spaces_between_special_tokens": 0}, BAD, "spaces_between_special_tokens"),
    ({"stream_options": {"include_usage": 1}}, BAD, "stream_options.include_usage"),
    ({"stream_options": [1]}, BAD, "stream_options"),
    ({"stream_options": {"include_all": True}}, "unknown_parameter", "stream_options.include_all"),
    ({"priority": "1"}, BAD, "priority"),
    ({"priority": 1.5}, BAD, "priority"),
    ({"priority": 2**63}, BAD, "priority"),
    ({"cache_salt": 5}, BAD, "cache_salt"),
    ({"cache_salt": ""}, BAD, "cache_salt"),
    ({"cache_salt": "a" * 513}, BAD, "cache_salt"),
    ({"user": "a" * 513}, BAD, "user"),
    ({"user": 5}, BAD, "user"),
]
NAMES: list[Row] = [
    *(({name: 3}, UNSUPPORTED, name) for name in UNSERVED),
    ({"do_sample": False}, UNSUPPORTED, "do_sample"),
    ({"num_beams": True}, UNSUPPORTED, "num_beams"),
    ({"response_format": {"type": "json_object"}}, UNSUPPORTED, "response_format"),
    ({"temprature": 1}, "unknown_parameter", "temprature"),
    ({"Temperature": 1}, "unknown_parameter", "Temperature"),
    ({"": 1}, "unknown_parameter", ""),
]
TABLE = [*INPUT, *AMOUNTS, *SAMPLING, *OUTPUT, *NAMES]
STREAMED_ONLY: list[Row] = [
    ({"best_of": 2}, BAD, "best_of"),
    ({"n": 2, "best_of": 3, "temperature": 0}, BAD, "best_of"),
]
UNSTREAMED_ONLY: list[Row] = [
    ({"stream": 1}, BAD, "stream"),
    ({"stream": "yes"}, BAD, "stream"),
    ({"stream_options": {"include_usage": True}}, BAD, "stream_options"),
    ({"stream": False, "stream_options": {"include_usage": True}}, BAD, "stream_options"),
    ({"stream": False, "stream_options": {"include_usage": None}}, BAD, "stream_options"),
    ({"stream_options": {}}, BAD, "stream_options"),
]


async def assert_refused(api: Api, row: Row, *, status: int = 400) -> None:
    body, code, param = row
    error = await api.error(body, status)
    assert (error["code"], error["param"]) == (code, param), error
    assert error["type"] == ("invalid_request_error" if status == 400 else "permission_denied")
    message = error["message"].partition(" Did you mean `")[0]
    assert message.endswith(".")
    assert message.count(" ") >= 2
    assert message.isascii()
    assert not api.engine.requests


@pytest.mark.parametrize("row", TABLE, ids=lambda row: json.dumps(row[0])[:60])
async def test_a_bad_field_is_refused_by_name_streamed_or_not(api: Api, row: Row) -> None:
    await assert_refused(api, row)
    await assert_refused(api, (row[0] | {"stream": True}, *row[1:]))


@pytest.mark.parametrize("row", STREAMED_ONLY, ids=str)
async def test_what_only_an_end_can_tell_is_refused_in_a_stream(api: Api, row: Row) -> None:
    await assert_refused(api, (row[0] | {"stream": True}, *row[1:]))
    await api.complete(row[0])


@pytest.mark.parametrize("row", UNSTREAMED_ONLY, ids=str)
async def test_what_is_for_streams_is_refused_without(api: Api, row: Row) -> None:
    await assert_refused(api, row)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        {"logit_bias": {"5": 1}},
        {"best_of": 2, "n": 2, "stop": "a"},
        {"repetition_penalty": 1.1},
        {"temperature": 0.5},
        {"use_beam_search": True},
        {"n": 2},
    ],
    ids=str,
)
async def test_what_the_engine_cannot_serve_is_refused_by_name(api: Api, body: dict[str, Any], is_stream: bool) -> None:
    name = list(body)[-1]
    api.engine.info = replace(api.engine.info, unsupported=("allowed_token_ids", name))
    await assert_refused(api, (body | {"stream": is_stream}, UNSUPPORTED, name))


async def test_the_product_of_prompts_and_sequences_is_bounded(make_api: MakeApi) -> None:
    api = make_api(limits=LimitsConfig(max_sequences=6))
    for body, param in (({"n": 2}, "n"), ({"n": 1, "best_of": 2}, "best_of"), (BEAMS, "n")):
        assert (await api.error({"prompt": ["a"] * 4, **body}))["param"] == param
    await api.complete({"prompt": ["a"] * 3, "n": 2})


async def test_a_smaller_limit_of_the_server_holds(make_api: MakeApi) -> None:
    api = make_api(limits=LimitsConfig(max_best_of=2, max_logprobs=3, max_logit_bias=1, max_bad_words=1))
    for body in ({"best_of": 3}, {"logprobs": 4}, {"prompt_logprobs": 4}, {"bad_words": ["a", "b"]}):
        assert (await api.error(dict(body)))["param"] == next(iter(body))
    await api.complete({"n": 3, "best_of": 3, "logprobs": 3, "bad_words": ["a"], "logit_bias": {"5": 1}})


async def test_allowed_token_ids_are_bounded_over_all_prompts(make_api: MakeApi) -> None:
    api = make_api(limits=LimitsConfig(max_allowed_token_ids=6))
    for prompt, num_ids in ((["a"], 6), (["a"] * 2, 3)):
        await api.complete({"prompt": prompt, "allowed_token_ids": [*range(num_ids)]})
        refused = await api.error({"prompt": prompt, "allowed_token_ids": [*range(num_ids + 1)]})
        assert refused["param"] == "allowed_token_ids"
