"""What a body may be: JSON as it is meant, known names, and what is never an error. test_refusals has the values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensue.api.bodies import BODIES, UNSERVED, Body, ChatBody, CompletionBody, DetokenizeBody, TokenizeBody
from ensue.api.names import known
from ensue.api.params import Caller, completion_request, read_body
from ensue.config import LimitsConfig, ServerConfig
from ensue.engine.fake import FakeEngine
from ensue.request import BeamParams
from ensue.served_models import ServedModels
from tests.api.conftest import Api, MakeApi

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


NEUTRAL: dict[str, Any] = {
    "suffix": "",
    "add_special_tokens": True,
    "max_completion_tokens": 16,
    "min_tokens": 0,
    "best_of": 1,
    "use_beam_search": False,
    "length_penalty": 1,
    "early_stopping": False,
    "stop": [],
    "stop_token_ids": [],
    "bad_words": [],
    "logit_bias": {},
    "repetition_penalty": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "temperature": 1,
    "top_k": 0,
    "seed": -1,
    "n": 1.0,
    "return_token_ids": False,
    "priority": 0,
}


async def test_null_is_the_default_of_every_field(api: Api) -> None:
    await api.complete(dict.fromkeys(known(CompletionBody) - {"prompt"}))


async def test_what_asks_for_nothing_is_never_an_error(api: Api) -> None:
    unserved = {name: neutral[0] for name, neutral in UNSERVED.items() if neutral}
    await api.complete(NEUTRAL | unserved)
    await api.complete(NEUTRAL | unserved | {"temperature": None, "top_k": -1, "use_beam_search": None})


@pytest.mark.parametrize("name", sorted(NEUTRAL))
async def test_what_asks_for_nothing_is_as_good_as_absent(api: Api, name: str) -> None:
    """Also where the engine could not serve the field."""
    api.engine.info = replace(api.engine.info, unsupported=(name,))
    await api.complete({name: NEUTRAL[name], "seed": 3} | ({"seed": -1} if name == "seed" else {}))
    await api.complete({"seed": 3} | ({"seed": None} if name == "seed" else {}))
    first, second = (replace(request, request_id="", seed=0, deadline=None) for request in api.engine.requests)
    assert first == second


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


async def test_of_two_limits_the_smaller_holds(api: Api) -> None:
    for limits in ({"max_tokens": 3, "max_completion_tokens": 4}, {"max_tokens": 4, "max_completion_tokens": 3}):
        assert (await api.complete(limits))["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("body", "beam"),
    [
        ({}, BeamParams(2)),
        ({"n": 5}, BeamParams(5)),
        ({"n": 2, "best_of": 4, "temperature": 0}, BeamParams(4)),
        ({"best_of": 4, "stream": True, "temperature": 1, "top_p": 1, "top_k": -1, "min_p": 0}, BeamParams(4)),
        ({"length_penalty": -0.5, "early_stopping": "never"}, BeamParams(2, -0.5, "never")),
        ({"length_penalty": 0, "early_stopping": True}, BeamParams(2, 0.0, True)),
    ],
)
def test_beams_are_as_many_as_best_of_says_and_at_least_two(
    make_models: Callable[..., ServedModels], body: dict[str, Any], beam: BeamParams
) -> None:
    parsed, _ = read_body(CompletionBody, {"prompt": "x", "use_beam_search": True} | body, "refuse", LimitsConfig())
    request = completion_request(parsed, make_models(FakeEngine()).default, Caller(), request_id="r")
    assert (request.beam, request.num_samples) == (beam, body.get("n", 1))


async def test_beams_ignore_what_a_model_recommends_for_sampling(make_models: Callable[..., ServedModels]) -> None:
    model = make_models(FakeEngine(), sampling_defaults={"temperature": 0.7, "top_p": 0.9}).default
    for body in ({}, {"temperature": 0.7, "top_p": 0.9}, {"temperature": 1, "top_p": 1}):
        parsed, _ = read_body(CompletionBody, {"prompt": "x", "use_beam_search": True} | body, "refuse", LimitsConfig())
        assert completion_request(parsed, model, Caller(), request_id="r").beam


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


PATHS: dict[type[Body], tuple[str, dict[str, Any]]] = {
    CompletionBody: ("/v1/completions", {"prompt": "x"}),
    ChatBody: ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 3}),
    TokenizeBody: ("/tokenize", {"prompt": "x"}),
    DetokenizeBody: ("/detokenize", {"tokens": [5]}),
}
NAMES = {body: st.sampled_from(sorted(known(body))) | st.text(max_size=9) for body in BODIES}
ANY_BODY = st.sampled_from(BODIES).flatmap(
    lambda body: st.tuples(st.just(PATHS[body]), st.dictionaries(NAMES[body], ANY_JSON, max_size=6))
)


@given(case=ANY_BODY)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_no_body_is_a_fault_of_ours(api: Api, case: tuple[tuple[str, dict[str, Any]], dict[str, Any]]) -> None:
    (path, least), body = case
    content = json.dumps(least | body)
    response = await api.client.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 404)
    if response.status_code != 200:
        assert response.json()["error"]["message"].isascii()


async def test_messages_repeat_nothing_of_the_prompt(api: Api) -> None:
    for body in ({"prompt": ["secret", 5]}, {"stop": ["secret" * 99]}, {"guided_regex": "secret"}):
        assert "secret" not in json.dumps(await api.error(body))
