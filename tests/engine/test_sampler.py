"""The sampler: settings in, tokens and columns out."""

from __future__ import annotations

import math

import pytest
import torch

from ensue.engine.history import LogitRules
from ensue.engine.rows import Candidates, SampleRow
from ensue.engine.sampler import Sampler, has_failed
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams

GREEDY = SamplingParams(temperature=0.0)


def row(
    sampling: SamplingParams, position: int = 0, seed: int = 1, sample: int = 0, logprobs: int | None = None
) -> SampleRow:
    return SampleRow(sampling, seed, sample, position, logprobs)


def beam_row(sampling: SamplingParams, count: int, logprobs: int | None = None) -> SampleRow:
    rules = LogitRules.of(GenerationRequest("r", (1,), sampling, 0, 1))
    banned = rules.banned_ids if rules else ()
    return SampleRow(sampling, 0, 0, 0, logprobs, num_candidates=count, rules=rules, banned_ids=banned)


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return torch.randn(4, 1000, generator=torch.Generator().manual_seed(3))


def test_greedy_takes_the_lowest_id_of_a_tie() -> None:
    tokens = Sampler().sample(torch.tensor([[0.0, 2.0, 2.0], [3.0, 3.0, 1.0]]), [row(GREEDY)] * 2)
    assert [token.token_id for token in tokens] == [1, 0]


def test_a_temperature_that_float32_rounds_to_0_is_greedy(logits: torch.Tensor) -> None:
    tiny = SamplingParams(temperature=1e-46)
    assert Sampler().sample(logits[:1], [row(tiny)]) == Sampler().sample(logits[:1], [row(GREEDY)])


def test_each_row_obeys_its_own_settings(logits: torch.Tensor) -> None:
    kinds = [GREEDY, SamplingParams(top_k=3), SamplingParams(top_p=0.4), SamplingParams(min_p=0.2)]
    rows = [row(kind, position) for position, kind in enumerate(kinds)]
    together = Sampler().sample(logits, rows)
    assert together == [Sampler().sample(logits[i : i + 1], [rows[i]])[0] for i in range(4)]


def test_the_choice_depends_on_seed_sample_and_position_only(logits: torch.Tensor) -> None:
    many = logits[:1].expand(6, -1)
    plain = SamplingParams()
    rows = [row(plain), row(plain), row(plain, 1), row(plain, seed=2), row(plain, sample=1), row(plain, seed=-1)]
    ids = [token.token_id for token in Sampler().sample(many, rows)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


def test_a_seed_without_a_sign_is_the_same_64_bits(logits: torch.Tensor) -> None:
    rows = [row(SamplingParams(), seed=-1), row(SamplingParams(), seed=2**64 - 1)]
    first, second = Sampler().sample(logits[:1].expand(2, -1), rows)
    assert first == second


def test_logprobs_come_for_the_rows_that_ask_and_as_many_as_asked(logits: torch.Tensor) -> None:
    tokens = Sampler().sample(logits, [row(GREEDY, logprobs=k) for k in (None, 0, 2, 5)])
    assert [len(token.top_ids) for token in tokens] == [0, 0, 2, 5]
    assert [token.rank for token in tokens] == [0, 1, 1, 1]
    assert tokens[2].logprob == tokens[2].top_logprobs[0]
    assert tokens[3].logprob == pytest.approx(logits[3].double().log_softmax(-1).max().item(), abs=1e-12)


def test_logprobs_are_of_the_raw_logits_whatever_the_filters(logits: torch.Tensor) -> None:
    filtered = SamplingParams(temperature=0.5, top_k=1)
    token = Sampler().sample(logits[:1], [row(filtered, logprobs=3)])[0]
    assert token == Sampler().sample(logits[:1], [row(GREEDY, logprobs=3)])[0]


def test_score_equals_sample_on_the_same_row(logits: torch.Tensor) -> None:
    sampled = Sampler().sample(logits, [row(SamplingParams(), i, logprobs=4) for i in range(4)])
    scored = Sampler().score(logits, [token.token_id for token in sampled], 4)
    assert scored.chosen == tuple(token.logprob for token in sampled)
    assert scored.rank == tuple(token.rank for token in sampled)
    assert scored.top_ids == tuple(token.top_ids for token in sampled)
    assert scored.top_logprobs == tuple(token.top_logprobs for token in sampled)


def test_more_logprobs_than_tokens_gives_all_of_them() -> None:
    scored = Sampler().score(torch.tensor([[0.0, 1.0]]), [0], 5)
    assert scored.top_ids == ((1, 0),)
    assert scored.rank == (2,)


def test_a_banned_token_scores_minus_infinity() -> None:
    assert Sampler().score(torch.tensor([[0.0, -math.inf]]), [1], 0).chosen == (-math.inf,)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_finite_fails_alone(bad: float) -> None:
    logits = torch.tensor([[1.0, 2.0], [bad, 0.0]])
    good, failed = Sampler().sample(logits, [row(GREEDY, logprobs=1)] * 2)
    assert good.is_finite
    assert good.top_ids == (1,)
    assert not failed.is_finite
    assert has_failed(Sampler().score(logits, [0, 0], 1))
    assert not has_failed(Sampler().score(logits[:1], [0], 1))


def test_rows_that_are_views_of_a_larger_tensor_are_read_right(logits: torch.Tensor) -> None:
    strided = logits[::2, 10:600]
    rows = [row(SamplingParams(top_p=0.5), logprobs=2)] * 2
    assert Sampler().sample(strided, rows) == Sampler().sample(strided.contiguous(), rows)


def test_candidates_are_the_likeliest_of_the_processed_logits_beside_raw_numbers(logits: torch.Tensor) -> None:
    first, second = logits[0].argsort(descending=True)[:2].tolist()
    biased = SamplingParams(logit_bias=((first, -100.0), (second, 1.0)))
    found = Sampler().candidates(logits[:1], [beam_row(biased, 5, logprobs=2)])[0]
    processed, raw = logits[0].double().clone(), logits[0].double().log_softmax(-1)
    processed[first], processed[second] = -math.inf, processed[second] + 1
    expected = processed.log_softmax(-1).topk(5)
    assert list(found.token_ids) == expected.indices.tolist()
    assert list(found.logprobs) == pytest.approx(expected.values.tolist(), abs=1e-6)
    assert list(found.raw_logprobs) == pytest.approx(raw[list(found.token_ids)].tolist(), abs=1e-12)
    assert (found.ranks[0], found.top_ids) == (2, (first, second))


def test_banned_tokens_are_no_candidates_and_a_row_may_have_none() -> None:
    allowed = SamplingParams(allowed_token_ids=(1, 3))
    nothing = SamplingParams(allowed_token_ids=(1,), logit_bias=((1, -100.0),))
    some, none = Sampler().candidates(torch.zeros(2, 5), [beam_row(allowed, 4), beam_row(nothing, 4)])
    assert some.token_ids == (1, 3)
    assert list(some.logprobs) == pytest.approx([math.log(0.5)] * 2)
    assert (none.token_ids, none.is_finite) == ((), True)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_candidates_of_a_row_that_is_not_finite_say_so_even_where_the_masks_hide_it(bad: float) -> None:
    hidden = SamplingParams(logit_bias=((2, -100.0),))
    rows = [beam_row(hidden, 2), beam_row(GREEDY, 2, logprobs=1)]
    found = Sampler().candidates(torch.tensor([[0.0, 1.0, bad], [0.0, 1.0, bad]]), rows)
    assert [candidates.is_finite for candidates in found] == [False, False]


def test_rows_of_beams_and_of_samples_are_chosen_for_side_by_side(logits: torch.Tensor) -> None:
    rows = [row(GREEDY, logprobs=1), beam_row(GREEDY, 3, logprobs=2), row(SamplingParams()), beam_row(GREEDY, 8)]
    together = Sampler().choose(logits, rows)
    assert list(together) == [Sampler().choose(logits[i : i + 1], [rows[i]])[0] for i in range(4)]
    assert [isinstance(found, Candidates) for found in together] == [False, True, False, True]
