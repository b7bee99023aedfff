"""What an engine is told of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from ensue.errors import InvalidRequest
from ensue.request import BeamParams, GenerationRequest
from ensue.sampling_params import SamplingParams
from ensue.service.request import CompletionRequest
from ensue.service.resolve import Resolved, resolve
from ensue.text.tokenizer import Tokenizer

EOS, FIM_PAD = 1, 2  # in the bundled tokenizer; the second is a stand-in, named so here


def resolved(tokenizer: Tokenizer, *prompts: str, end_token_ids: tuple[int, ...] = (), **fields: Any) -> Resolved:
    info = FakeEngine(logits_width=tokenizer.vocab_size, end_token_ids=end_token_ids).info
    return resolve(CompletionRequest("id", prompts or ("a",), **fields), tokenizer, info)


def generation(tokenizer: Tokenizer, **fields: Any) -> GenerationRequest:
    (found,) = resolved(tokenizer, **fields).generations
    return found


def test_what_needs_no_words_goes_down_as_it_is(tokenizer: Tokenizer) -> None:
    beam = BeamParams(3)
    fields = {"min_tokens": 2, "beam": beam, "priority": 4, "cache_salt": b"x", "deadline": 5.0, "seed": 6}
    found = generation(tokenizer, max_tokens=9, n=2, best_of=3, **fields)
    assert {name: getattr(found, name) for name in fields} == fields
    assert (found.max_tokens, found.num_samples) == (9, 2)


@pytest.mark.parametrize(
    ("fields", "num_logprobs", "num_prompt_logprobs"),
    [
        ({}, None, None),
        ({"best_of": 2}, 0, None),
        ({"best_of": 2, "n": 2}, None, None),
        ({"best_of": 2, "beam": BeamParams(2)}, None, None),
        ({"logprobs": 3, "best_of": 2}, 3, None),
        ({"prompt_logprobs": 0}, None, 0),
        ({"logprobs": 3, "prompt_logprobs": 2}, 3, 2),
        ({"logprobs": 3, "prompt_logprobs": 2, "echo": True}, 3, 3),
        ({"prompt_logprobs": 2, "echo": True}, None, 2),
    ],
)
def test_numbers_are_asked_for_where_they_are_needed(
    tokenizer: Tokenizer, fields: dict[str, Any], num_logprobs: int | None, num_prompt_logprobs: int | None
) -> None:
    found = generation(tokenizer, **fields)
    assert (found.num_logprobs, found.num_prompt_logprobs) == (num_logprobs, num_prompt_logprobs)


def test_a_seed_holds_for_all_prompts_and_is_fresh_for_each_where_none_is_given(tokenizer: Tokenizer) -> None:
    for seed, num_seeds in ((5, 1), (None, 3)):
        assert len({g.seed for g in resolved(tokenizer, "a", "a", "a", seed=seed).generations}) == num_seeds


def test_a_stop_string_that_is_a_special_token_is_a_stop_token(tokenizer: Tokenizer) -> None:
    found = resolved(tokenizer, stop=("<|im_end|>", "the"), stop_token_ids=(40,))
    (im_end,) = found.stop_names
    assert found.stop_names[im_end] == tokenizer.token_text(im_end) == "<|im_end|>"
    assert found.generations[0].stop_token_ids == (40, im_end)


def test_a_gap_ends_at_the_sentinels_of_its_family_even_where_end_tokens_do_not_stop(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {"<|fim_pad|>": FIM_PAD, "<|endoftext|>": EOS}
    known = tokenizer.token_id
    monkeypatch.setattr(tokenizer, "token_id", lambda token: ids.get(token) or known(token))
    assert generation(tokenizer, suffix="b").end_token_ids == (EOS, FIM_PAD)
    assert generation(tokenizer, suffix="b", ignore_eos=True).end_token_ids == (FIM_PAD,)
    assert generation(tokenizer).end_token_ids == (EOS,)
    assert generation(tokenizer, end_token_ids=(9,)).end_token_ids == (EOS, 9)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop_token_ids": (5, 9999)}, "stop_token_ids[1]"),
        ({"stop_token_ids": (-1,)}, "stop_token_ids[0]"),
        ({"sampling": SamplingParams(allowed_token_ids=(5, 9999))}, "allowed_token_ids[1]"),
        ({"sampling": SamplingParams(logit_bias=((5, 1.0), (9999, 1.0)))}, "logit_bias.9999"),
        ({"bad_words": ("a", "")}, "bad_words[1]"),
        ({"min_tokens": 17}, "min_tokens"),
        ({"min_tokens": 3, "max_tokens": 2}, "min_tokens"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(tokenizer: Tokenizer, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        resolved(tokenizer, **fields)
    assert raised.value.param == param


def test_bad_words_are_added_and_top_k_is_clamped(tokenizer: Tokenizer) -> None:
    sampling = SamplingParams(top_k=5, temperature=0.5)
    found = generation(tokenizer, sampling=sampling, bad_words=("fox",)).sampling
    assert found == replace(sampling, bad_words_token_ids=found.bad_words_token_ids)
    assert len(found.bad_words_token_ids) == 2
    wide = SamplingParams(top_k=tokenizer.vocab_size)
    assert generation(tokenizer, sampling=wide).sampling.top_k is None
