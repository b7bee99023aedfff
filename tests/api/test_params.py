"""Refusals: what is wrong with a body, named in `param`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensue.api.params import KNOWN
from ensue.api.protocol import UNSERVED
from ensue.config import LimitsConfig, ServerConfig
from tests.api.conftest import Api, MakeApi

WRONG: list[tuple[str, Any, str]] = [
    ("prompt", [], "prompt"),
    ("prompt", None, "prompt"),
    ("prompt", [[]], "prompt[0]"),
    ("prompt", ["a", 5], "prompt[1]"),
    ("prompt", [5, "a"], "prompt[1]"),
    ("prompt", [[5], "a"], "prompt[1]"),
    ("prompt", [5, True], "prompt[1]"),
    ("prompt", [True], "prompt"),
    ("prompt", [5, 1.5], "prompt[1]"),
    ("prompt", [5, 6, 7, -1], "prompt[3]"),
    ("prompt", [[5], [6, 2**31]], "prompt[1][1]"),
    ("prompt", [2**63], "prompt[0]"),
    ("prompt", {"a": 1}, "prompt"),
    ("prompt", 5, "prompt"),
    ("prompt", ["a"] * 129, "prompt"),
    ("model", 5, "model"),
    ("max_tokens", "5", "max_tokens"),
    ("max_tokens", -1, "max_tokens"),
    ("max_tokens", True, "max_tokens"),
    ("max_tokens", 1.5, "max_tokens"),
    ("max_tokens", 0, "max_tokens"),
    ("max_tokens", 2**63, "max_tokens"),
    ("n", 0, "n"),
    ("n", 129, "n"),
    ("n", 2**31, "n"),
    ("temperature", -0.1, "temperature"),
    ("temperature", 2.1, "temperature"),
    ("temperature", "1", "temperature"),
    ("temperature", True, "temperature"),
    ("top_p", 1.1, "top_p"),
    ("top_k", -2, "top_k"),
    ("min_p", -1, "min_p"),
    ("seed", 2**63, "seed"),
    ("seed", 1.5, "seed"),
    ("stop", "", "stop"),
    ("stop", ["a", ""], "stop"),
    ("stop", ["a", 5], "stop[1]"),
    ("stop", ["a"] * 17, "stop"),
    ("stop", "a" * 257, "stop"),
    ("stop_token_ids", [5, "a"], "stop_token_ids[1]"),
    ("stop_token_ids", [5, -1], "stop_token_ids[1]"),
    ("stop_token_ids", [5] * 1025, "stop_token_ids"),
    ("ignore_eos", 1, "ignore_eos"),
    ("logprobs", 21, "logprobs"),
    ("logprobs", True, "logprobs"),
    ("echo", "true", "echo"),
    ("stream", 1, "stream"),
    ("stream_options", {"include_usage": True}, "stream_options"),
    ("stream_options", {"include_usage": 1}, "stream_options.include_usage"),
    ("user", "a" * 513, "user"),
    ("user", 5, "user"),
]


@pytest.mark.parametrize(("field", "value", "param"), WRONG)
async def test_a_bad_value_is_refused_by_name(api: Api, field: str, value: Any, param: str) -> None:
    error = await api.error({field: value})
    assert (error["param"], error["type"], error["code"]) == (param, "invalid_request_error", None)
    assert api.engine.requests == []


RAW: list[tuple[str, str | None]] = [
    ('{"prompt": "a", "temperature": NaN}', "temperature"),
    ('{"prompt": "a", "temperature": -Infinity}', "temperature"),
    ('{"prompt": "a", "temperature": 1e400}', "temperature"),
    ('{"prompt": "a", "n": 1e400}', "n"),
    ('{"prompt": "a", "n": 1, "n": 2}', "n"),
    ('{"prompt": "a", "stream_options": {"a": 1, "a": 2}}', "stream_options.a"),
    ('{"prompt": [1, 2, 3, %s]}' % ("9" * 5000), "prompt[3]"),
    ('{"prompt": [1, %s]}' % ("9" * 900), "prompt[1]"),
    ('{"prompt": ["a", "\\ud800"]}', "prompt[1]"),
    ('{"prompt": "a", "user": "\\udc00x"}', "user"),
    ('{"prompt": "a", "%s": 1, "%s": 1}' % (("k" * 999,) * 2), "k" * 64 + "..."),
    ('{"prompt": "a", "a": NaN', None),
    ('{"prompt": "a"', None),
    ("[1, 2]", None),
    ('"text"', None),
    ("", None),
    ("nul", None),
    ('{"metadata": %s}' % ("[" * 100_000 + "]" * 100_000), None),
    ('{"prompt": "a", "metadata": %s}' % ("[" * 64 + "]" * 64), None),
    ('{"prompt": "a", "metadata": %s}' % ('{"a":[' * 40 + "]}" * 40), None),
]


@pytest.mark.parametrize(("body", "param"), RAW)
async def test_json_that_others_accept_is_refused(api: Api, body: str, param: str | None) -> None:
    response = await api.client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("text", ['"🙂"', '"\\ud83d\\ude42"', '"\\u0000"', '"\\\\\\""', '"%s"' % ("[" * 400)])
async def test_texts_that_look_like_trouble_are_accepted(api: Api, text: str) -> None:
    body = b'{"prompt": "a", "user": %s}' % text.encode()
    response = await api.client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200


async def test_sixty_four_levels_are_allowed(api: Api) -> None:
    await api.complete({"metadata": json.loads("[" * 63 + "]" * 63)})


async def test_unknown_fields_are_named_with_the_nearest_known(api: Api) -> None:
    error = await api.error({"temprature": 1})
    assert (error["code"], error["param"]) == ("unknown_parameter", "temprature")
    assert "`temperature`" in error["message"]


async def test_an_unknown_name_is_repeated_escaped_and_short(api: Api) -> None:
    error = await api.error({"<b>\n\x1b" + "é" * 100: 1})
    assert error["message"].isascii()
    assert len(error["message"]) < 120
    assert error["message"].isprintable()


async def test_unknown_fields_can_be_a_warning(make_api: MakeApi) -> None:
    api = make_api(server=ServerConfig(unknown_parameters="warn"))
    body = {"prompt": "x", "foo\r\nx: y": 1, "stream": True, "stream_options": {"bar": 1}}
    response = await api.client.post("/v1/completions", json=body)
    assert response.status_code == 200
    assert response.headers["warning"].count("299 - ") == 2
    many = await api.client.post("/v1/completions", json={"prompt": "x"} | dict.fromkeys(map(str, range(999)), 1))
    assert many.headers["warning"].count("299 - ") == 8
    assert "foo??x: y" in response.headers["warning"]


@pytest.mark.parametrize("field", [*UNSERVED, "best_of"])
async def test_a_field_not_served_is_refused_when_set(api: Api, field: str) -> None:
    error = await api.error({field: 3 if field != "priority" else 1})
    assert (error["code"], error["param"]) == ("unsupported_parameter", field)


async def test_null_and_defaults_are_never_an_error(api: Api) -> None:
    defaults = {name: neutral[0] if neutral else None for name, neutral in UNSERVED.items()}
    await api.complete(defaults | {"best_of": 2, "n": 2})
    await api.complete(
        dict.fromkeys((*UNSERVED, "best_of", "n", "seed", "stop", "stream", "echo", "logprobs", "model"))
    )
    await api.complete({"stream_options": {"include_usage": False}, "top_k": 0, "seed": -1, "stop": [], "n": 1.0})


async def test_true_is_not_the_number_one(api: Api) -> None:
    assert (await api.error({"num_beams": True}))["code"] == "unsupported_parameter"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": [5] * 11}, "prompt"),
        ({"prompt": [5] * 10}, "prompt"),
        ({"prompt": [[5], [5] * 11]}, "prompt[1]"),
        ({"prompt": [[5] * 8], "max_tokens": 3}, "max_tokens"),
        ({"prompt": "x" * 100_000}, "prompt"),
    ],
)
async def test_what_does_not_fit_the_context_is_refused(
    make_api: MakeApi, says: Any, body: dict[str, Any], param: str
) -> None:
    api = make_api(says("a", max_model_len=10))
    error = await api.error(body)
    assert error["code"] == "context_length_exceeded"
    assert error["message"].startswith("This model's maximum context length is 10 tokens")
    assert error["param"] == param


async def test_a_scored_prompt_may_fill_the_context(make_api: MakeApi, says: Any) -> None:
    api = make_api(says("a", max_model_len=10))
    answer = await api.complete({"prompt": [[5] * 10], "max_tokens": 0, "echo": True, "logprobs": 1})
    assert len(answer["choices"][0]["logprobs"]["tokens"]) == 10


async def test_the_product_of_prompts_and_n_is_bounded(make_api: MakeApi) -> None:
    api = make_api(limits=LimitsConfig(max_sequences=6))
    await api.complete({"prompt": ["a"] * 3, "n": 2})
    assert (await api.error({"prompt": ["a"] * 4, "n": 2}))["param"] == "n"


async def test_two_names_of_max_tokens_must_agree(api: Api) -> None:
    await api.complete({"max_tokens": 3, "max_completion_tokens": 3})
    assert (await api.error({"max_tokens": 3, "max_completion_tokens": 4}))["param"] == "max_tokens"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(body=st.dictionaries(st.sampled_from(sorted(KNOWN)) | st.text(max_size=9), ANY_JSON, max_size=6))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_is_a_fault_of_ours(api: Api, body: dict[str, Any]) -> None:
    content = json.dumps({"prompt": "x"} | body)
    response = await api.client.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 404)
    if response.status_code != 200:
        assert response.json()["error"]["message"].isascii()


async def test_messages_repeat_nothing_of_the_prompt(api: Api) -> None:
    for body in ({"prompt": ["secret", 5]}, {"stop": ["secret" * 99]}, {"suffix": "secret"}):
        assert "secret" not in json.dumps(await api.error(body))
