"""Beams in the step loop over the toy model: the same whatever there is room for, told whole, no block left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ensue.engine.check import check
from ensue.engine.llm_engine import LLMEngine
from ensue.errors import InvalidRequest, UnsupportedParameter
from ensue.outputs import PROMPT, FinishReason, TokenOutput
from ensue.request import BeamParams, GenerationRequest
from tests.engine.toy import ToyRunner, expected, expected_beams, make_engine, make_request, run_to_end

A, B = (0, 1), (0, 2)
STOP, LENGTH, ABORT, ERROR = FinishReason.STOP, FinishReason.LENGTH, FinishReason.ABORT, FinishReason.ERROR


def beam_request(width: int = 4, *, length: int = 9, **more: Any) -> GenerationRequest:
    fields: dict[str, Any] = {"max_tokens": 8, "num_samples": width, "end_token_ids": (2,)} | more
    beam = BeamParams(width, fields.pop("length_penalty", 1.0), fields.pop("early_stopping", False))
    return make_request(range(length), beam=beam, **fields)


def assert_beams(request: GenerationRequest, outputs: dict[tuple[tuple[int, int], int], TokenOutput]) -> None:
    for rank, beam in enumerate(expected_beams(request)[: request.num_samples]):
        output = outputs[A, rank]
        assert output.token_ids == tuple(token.token_id for token in beam.tokens)
        assert (output.beam_score, output.finish_reason) == (beam.score, beam.finish_reason)


def assert_nothing_left(engine: LLMEngine) -> None:
    assert not engine.has_work
    assert engine.stats().num_used_blocks == 0
    assert engine._groups == {}


def start(runner: ToyRunner | None = None, num_steps: int = 3, **more: Any) -> LLMEngine:
    """An engine in the middle of a search."""
    engine = make_engine(runner=runner)
    engine.add(A, beam_request(**more))
    for _ in range(num_steps):
        assert [output for _, output in engine.step() if output.sample_index != PROMPT] == []
    return engine


@pytest.mark.parametrize("width", [1, 2, 4, 7])
@pytest.mark.parametrize("max_num_seqs", [1, 3, 8])
@pytest.mark.parametrize(("num_blocks", "budget"), [(5, 3), (7, 8), (64, 64)])
def test_beams_are_those_of_the_search_whatever_there_is_room_for(
    num_blocks: int, budget: int, max_num_seqs: int, width: int
) -> None:
    """With 5 blocks a single beam fits, so that all of them are computed in turns, again and again."""
    engine = make_engine(num_blocks, budget=budget, max_num_seqs=max_num_seqs)
    request = beam_request(width, max_tokens=11)
    engine.add(A, request)
    assert_beams(request, run_to_end(engine, 20_000))
    assert_nothing_left(engine)


@pytest.mark.parametrize("num_blocks", [8, 12, 40])
def test_beams_in_company_are_those_of_a_search_alone(num_blocks: int) -> None:
    engine = make_engine(num_blocks)
    requests = [beam_request(2 + i % 3, length=5 + i, seed=i) for i in range(4)]
    for number, request in enumerate(requests):
        engine.add((1, number), request)
        engine.add((2, number), make_request(range(number, 9), num_samples=2, seed=number))
    outputs = run_to_end(engine, 20_000)
    for number, request in enumerate(requests):
        assert_beams(request, {(A, rank): outputs[(1, number), rank] for rank in range(request.num_samples)})
        assert outputs[(2, number), 1].token_ids == expected(make_request(range(number, 9), seed=number), 1)
    assert_nothing_left(engine)


def test_beams_share_the_prompt() -> None:
    engine = make_engine(budget=64, max_num_seqs=8)
    engine.add(A, beam_request(6, length=30))
    run_to_end(engine)
    assert engine.stats().num_prompt_tokens == 30
    assert engine.stats().num_preemptions == 0


def test_beams_that_outnumber_the_slots_take_turns_without_computing_anything_twice() -> None:
    engine = make_engine(max_num_seqs=2)
    engine.add(A, beam_request(5, length=9, max_tokens=4, end_token_ids=()))
    run_to_end(engine)
    stats = engine.stats()
    assert (stats.num_prompt_tokens, stats.num_preemptions) == (9, 0)
    assert stats.num_generation_tokens == 1 + 3 * 5  # one row for the prompt, then one for each beam and length


def test_a_beam_is_told_whole_with_its_log_probabilities() -> None:
    engine, request = make_engine(), beam_request(3, num_samples=2, num_logprobs=0)
    engine.add(A, request)
    told = []
    while engine.has_work:
        told += [output for _, output in engine.step()]
    assert [output.sample_index for output in told] == [0, 1]
    for output, beam in zip(told, expected_beams(request), strict=False):
        assert output.logprobs is not None
        assert output.logprobs.chosen == tuple(token.logprob for token in beam.tokens)
        assert output.timings is not None
    assert [output.num_cached_tokens for output in told] == [0, None]


@pytest.mark.parametrize("kind", ["end_token_ids", "stop_token_ids"])
def test_the_last_token_of_an_ended_beam_is_named_where_it_is_a_stop_token(kind: str) -> None:
    engine = make_engine()
    ends: dict[str, Any] = {"end_token_ids": (), kind: (4,)}
    engine.add(A, beam_request(**ends))
    ended = [o for o in run_to_end(engine).values() if o.finish_reason is STOP]
    assert ended
    assert {o.token_ids[-1] for o in ended} == {4}
    assert {o.stop_token_id for o in ended} == {4 if kind == "stop_token_ids" else None}


def test_prompt_logprobs_come_first_and_once() -> None:
    engine = make_engine(num_blocks=6, budget=4)
    engine.add(A, beam_request(length=11, num_prompt_logprobs=0))
    outputs = run_to_end(engine, 5000)
    assert outputs[A, PROMPT].token_ids == tuple(range(1, 11))
    assert_beams(beam_request(length=11), outputs)


def test_without_tokens_to_generate_the_prompt_is_scored_for_every_rank() -> None:
    engine = make_engine()
    engine.add(A, beam_request(4, num_samples=2, max_tokens=0, num_prompt_logprobs=0))
    outputs = run_to_end(engine)
    assert outputs[A, PROMPT].token_ids == tuple(range(1, 9))
    assert [(outputs[A, i].token_ids, outputs[A, i].finish_reason) for i in (0, 1)] == [((), LENGTH)] * 2
    assert_nothing_left(engine)


def test_ranks_beyond_the_texts_there_are_come_empty() -> None:
    """The toy model knows six tokens to go on with."""
    engine = make_engine()
    engine.add(A, beam_request(9, max_tokens=1))
    outputs = run_to_end(engine)
    assert [len(outputs[A, rank].token_ids) for rank in range(9)] == [1] * 6 + [0] * 3
    empty = outputs[A, 8]
    assert (empty.finish_reason, empty.error_code, empty.beam_score) == (LENGTH, "no_token_left", -float("inf"))


def test_stopping_a_rank_leaves_the_ranking_of_the_others() -> None:
    engine = start()
    engine.stop(A, 1)
    engine.stop(A, 1)
    engine.stop(A, 9)
    outputs = run_to_end(engine)
    assert (outputs[A, 1].finish_reason, outputs[A, 1].token_ids) == (ABORT, ())
    best = expected_beams(beam_request())
    assert [outputs[A, rank].beam_score for rank in (0, 2, 3)] == [best[rank].score for rank in (0, 2, 3)]
    assert_nothing_left(engine)


def test_stopping_every_rank_ends_the_search() -> None:
    engine = start()
    for rank in range(4):
        engine.stop(A, rank)
    assert [(output.sample_index, output.finish_reason) for _, output in engine.step()] == [
        (rank, ABORT) for rank in range(4)
    ]
    assert_nothing_left(engine)


@pytest.mark.parametrize("num_steps", [0, 1, 2, 5])
def test_an_aborted_search_is_never_heard_of_again(num_steps: int) -> None:
    engine = start(num_steps=num_steps)
    engine.stop(A, 0)
    engine.abort(A)
    assert_nothing_left(engine)
    assert engine.step() == []


@pytest.mark.parametrize("poisoned", [0, 3])
def test_a_beam_that_is_not_finite_fails_its_request_alone_and_wipes_its_blocks(poisoned: int) -> None:
    runner = ToyRunner(32)
    engine, other = start(runner), make_request(range(5))
    engine.add(B, other)
    runner.poisoned.add((A, poisoned))
    num_used = engine.stats().num_used_blocks
    outputs = run_to_end(engine)
    assert {(outputs[A, rank].finish_reason, outputs[A, rank].error_code) for rank in range(4)} == {
        (ERROR, "not_finite")
    }
    assert outputs[B, 0].token_ids == expected(other, 0)
    assert len(set(runner.wiped)) >= num_used
    assert_nothing_left(engine)


def test_a_search_past_its_deadline_ends_with_an_error_for_every_rank() -> None:
    engine = make_engine()
    engine.add(A, beam_request(4, num_samples=3, deadline=1.0))
    outputs = run_to_end(engine)
    assert {rank: outputs[A, rank].error_code for rank in range(3)} == dict.fromkeys(range(3), "request_timeout")
    assert_nothing_left(engine)


@pytest.mark.parametrize(
    ("more", "param"),
    [({"num_samples": 5}, "n"), ({"num_samples": 0}, "n"), ({"num_samples": 1, "resumed_token_ids": (1,)}, None)],
)
def test_what_can_never_run_is_refused(more: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check(beam_request(**more), make_engine().info)
    assert raised.value.param == param


def test_an_engine_that_serves_no_beams_refuses_them_by_name() -> None:
    info = replace(make_engine().info, unsupported=("use_beam_search",))
    with pytest.raises(UnsupportedParameter) as raised:
        check(beam_request(), info)
    assert raised.value.param == "use_beam_search"
