"""POST /v1/completions: the answer's shape and what each field does to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from ensue.store.keys import KeyStore
from ensue.text.tokenizer import Tokenizer
from tests.api.conftest import Api, MakeApi

Says = Callable[..., FakeEngine]


async def test_an_answer_has_the_documented_shape(api: Api) -> None:
    answer = await api.complete({"max_tokens": 3})
    assert answer.keys() == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert (answer["object"], answer["model"], answer["system_fingerprint"]) == ("text_completion", "tiny", "fp_fake")
    assert answer["id"].startswith("cmpl-")
    choice = answer["choices"][0]
    asked_for = {"prompt_logprobs", "token_ids", "prompt_token_ids"}
    assert choice.keys() == {"index", "text", "logprobs", "finish_reason", "stop_reason"} | asked_for
    assert (choice["finish_reason"], choice["stop_reason"], choice["logprobs"]) == ("length", None, None)


async def test_usage_counts_each_prompt_once_and_all_choices(api: Api) -> None:
    usage = (await api.complete({"prompt": [[5, 6], [7]], "n": 3, "max_tokens": 4}))["usage"]
    assert usage == {
        "prompt_tokens": 3,
        "completion_tokens": 24,
        "total_tokens": 27,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


@pytest.mark.parametrize("prompt", ["x", ["x"], [5, 6], [[5, 6]], [5.0, 6.0]])
async def test_a_prompt_has_four_forms(api: Api, prompt: Any) -> None:
    assert len((await api.complete({"prompt": prompt}))["choices"]) == 1


async def test_choices_stand_in_the_order_of_prompts_and_samples(api: Api) -> None:
    choices = (await api.complete({"prompt": ["a", "b"], "n": 2}))["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]


async def test_ids_are_taken_as_they_are_and_texts_get_special_tokens(api: Api, tokenizer: Tokenizer) -> None:
    await api.complete({"prompt": [[5, 6]]})
    await api.complete({"prompt": "Hello"})
    by_ids, by_text = (request.prompt_token_ids for request in api.engine.requests)
    assert by_ids == (5, 6)
    assert by_text == tuple(tokenizer.encode("Hello"))


async def test_an_empty_text_is_the_token_that_begins_texts(api: Api, tokenizer: Tokenizer) -> None:
    await api.complete({"prompt": ""})
    assert api.engine.requests[0].prompt_token_ids == (tokenizer.bos_token_id,)


async def test_without_a_seed_each_prompt_draws_its_own(api: Api) -> None:
    await api.complete({"prompt": ["a", "a", "a"]})
    assert len({request.seed for request in api.engine.requests}) == 3


@pytest.mark.parametrize("seed", [0, 5, -2, 2**63 - 1])
async def test_a_seed_holds_for_all_prompts(api: Api, seed: int) -> None:
    await api.complete({"prompt": ["a", "a"], "seed": seed})
    assert [request.seed for request in api.engine.requests] == [seed, seed]


async def test_seed_minus_one_is_none(api: Api) -> None:
    await api.complete({"prompt": ["a", "a"], "seed": -1})
    assert len({request.seed for request in api.engine.requests} | {-1}) == 3


async def test_sampling_fields_reach_the_engine(api: Api) -> None:
    await api.complete({"temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1})
    sampling = api.engine.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 7, 0.1)


async def test_fields_that_change_logits_reach_the_engine(api: Api) -> None:
    penalties = {"repetition_penalty": 1.2, "frequency_penalty": -2, "presence_penalty": 2.0}
    body = {"min_tokens": 3.0, "logit_bias": {"07": -100, "3": 1.5}, "allowed_token_ids": [9, 7.0, 9]}
    await api.complete(body | penalties)
    request = api.engine.requests[0]
    sampling = request.sampling
    assert (sampling.repetition_penalty, sampling.frequency_penalty, sampling.presence_penalty) == (1.2, -2, 2)
    assert (sampling.logit_bias, sampling.allowed_token_ids) == (((3, 1.5), (7, -100)), (9, 7))
    assert request.min_tokens == 3


@pytest.mark.parametrize("top_k", [0, -1, None, 10**9])
async def test_top_k_is_off_at_zero_minus_one_and_the_whole_vocabulary(api: Api, top_k: int | None) -> None:
    await api.complete({"top_k": top_k})
    assert api.engine.requests[0].sampling.top_k is None


async def test_the_models_own_defaults_hold_where_the_body_is_silent(make_api: MakeApi) -> None:
    api = make_api(sampling_defaults={"temperature": 0.7, "top_p": 0.95})
    await api.complete({"top_p": 1, "temperature": None})
    sampling = api.engine.requests[0].sampling
    assert (sampling.temperature, sampling.top_p) == (0.7, 1.0)


async def test_a_models_own_repetition_penalty_can_be_taken_back(make_api: MakeApi) -> None:
    api = make_api(sampling_defaults={"repetition_penalty": 1.3, "top_k": 0})
    for value in (None, 1, 1.1):
        await api.complete({"repetition_penalty": value})
    assert [request.sampling.repetition_penalty for request in api.engine.requests] == [1.3, 1, 1.1]


async def test_cached_prompts_are_shared_within_a_key_and_a_salt_only(make_api: MakeApi, keys: KeyStore) -> None:
    api = make_api(keys=keys)
    for token in (keys.create("a")[1], keys.create("b")[1]):
        api.client.headers["authorization"] = f"Bearer {token}"
        for salt in (None, "s", "t", None):
            await api.complete({"cache_salt": salt})
    salts = [request.cache_salt for request in api.engine.requests]
    assert len(set(salts)) == 6
    assert (salts[0], salts[4]) == (salts[3], salts[7])


async def test_without_keys_all_share_cached_prompts_but_for_their_salts(api: Api) -> None:
    for salt in (None, "s", "s", "t"):
        await api.complete({"cache_salt": salt})
    first, second, third, fourth = (request.cache_salt for request in api.engine.requests)
    assert first == b""
    assert second == third
    assert len({first, second, fourth}) == 3


async def test_ids_and_prompt_scores_are_there_only_where_asked_for(api: Api) -> None:
    plain = (await api.complete({}))["choices"][0]
    assert [plain[name] for name in ("token_ids", "prompt_token_ids", "prompt_logprobs")] == [None] * 3
    body = {"prompt": [5, 6, 7], "return_token_ids": True, "prompt_logprobs": 2, "max_tokens": 3}
    choice = (await api.complete(body))["choices"][0]
    assert choice["prompt_token_ids"] == [5, 6, 7]
    assert len(choice["token_ids"]) == 3
    first, second, third = choice["prompt_logprobs"]
    assert first is None
    assert second.keys() == {"0", "1", "6"}
    assert third["7"].keys() == {"logprob", "rank", "decoded_token"}


async def test_the_best_of_more_samples_are_returned_and_all_are_counted(api: Api) -> None:
    answer = await api.complete({"n": 2, "best_of": 5, "max_tokens": 3})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 15
    assert api.engine.requests[0].num_samples == 5


async def test_end_tokens_are_the_engines_and_the_tokenizers(
    says: Says, make_api: MakeApi, tokenizer: Tokenizer
) -> None:
    api = make_api(says("a", end_token_ids=(4,)))
    await api.complete({})
    await api.complete({"ignore_eos": True})
    with_eos, without = (request.end_token_ids for request in api.engine.requests)
    assert set(with_eos) == {4, tokenizer.eos_token_id}
    assert without == ()


async def test_an_end_token_stops_without_being_shown(says: Says, make_api: MakeApi, tokenizer: Tokenizer) -> None:
    answer = await make_api(says(" a b<|end_of_text|> c")).complete({"logprobs": 0})
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (" a b", "stop", None)
    assert choice["logprobs"]["tokens"][-1] == "<|end_of_text|>"
    assert answer["usage"]["completion_tokens"] == len(choice["logprobs"]["tokens"])


async def test_a_stop_token_is_named_by_its_id(says: Says, make_api: MakeApi, tokenizer: Tokenizer) -> None:
    stop = tokenizer.encode(" two", add_special_tokens=False)[-1]
    choice = (await make_api(says(" one two")).complete({"stop_token_ids": [stop]}))["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)
    assert " two" not in choice["text"]


async def test_a_special_tokens_text_as_stop_acts_as_that_token(says: Says, make_api: MakeApi) -> None:
    choice = (await make_api(says(" a<|im_start|> b")).complete({"stop": "<|im_start|>"}))["choices"][0]
    assert (choice["text"], choice["stop_reason"]) == (" a", "<|im_start|>")


async def test_a_stop_string_cuts_text_and_log_probabilities(api: Api) -> None:
    answer = await api.complete({"stop": ["three", "zzz"], "logprobs": 1, "max_tokens": 50})
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (" one two ", "stop", "three")
    assert "".join(choice["logprobs"]["tokens"]).startswith(" one two ")
    assert answer["usage"]["completion_tokens"] <= 20
    assert choice["logprobs"]["text_offset"][0] == 1


async def test_the_default_of_max_tokens_shrinks_to_what_is_left(says: Says, make_api: MakeApi) -> None:
    api = make_api(says("a b c", max_model_len=10))
    for max_tokens in (None, 16):
        answer = await api.complete({"prompt": [[5] * 7], "max_tokens": max_tokens})
        assert answer["usage"]["completion_tokens"] == 3


async def test_prompt_and_max_tokens_may_fill_the_context(says: Says, make_api: MakeApi) -> None:
    api = make_api(says("a b c", max_model_len=10))
    answer = await api.complete({"prompt": [[5] * 7], "max_completion_tokens": 3})
    assert answer["usage"]["total_tokens"] == 10


async def test_the_answer_repeats_the_name_asked_for(make_api: MakeApi) -> None:
    api = make_api(aliases=("small",))
    assert (await api.complete({"model": "small"}))["model"] == "small"


async def test_accepted_fields_have_no_effect(api: Api) -> None:
    body = {"metadata": {"a": 1}, "store": True, "service_tier": "auto", "prompt_cache_key": "k", "user": "me"}
    assert await api.text(**body) == await api.text()


async def test_scoring_as_evaluation_harnesses_do(api: Api) -> None:
    body = {
        "prompt": [[40, 41, 42], [43, 44]],
        "echo": True,
        "max_tokens": 1,
        "logprobs": 1,
        "temperature": 0,
        "seed": 1,
    }
    for choice, num_tokens in zip((await api.complete(body))["choices"], (4, 3), strict=True):
        logprobs = choice["logprobs"]
        assert [len(column) for column in logprobs.values()] == [num_tokens] * 4
        assert logprobs["token_logprobs"][0] is None
        assert "".join(logprobs["tokens"]) == choice["text"]
        assert logprobs["text_offset"][0] == 0
