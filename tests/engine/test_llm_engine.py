"""The step loop over the toy model: right tokens under sharing, preemption, chunks, stops and aborts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ensue.engine.llm_engine import Credit, LLMEngine, RowResult
from ensue.engine.rows import SampledToken
from ensue.engine.scheduler import SchedulerOutput
from ensue.errors import ContextLengthExceeded, InvalidRequest
from ensue.outputs import PROMPT, FinishReason, TokenOutput
from ensue.sampling_params import SamplingParams
from tests.engine.toy import WIDTH, ToyRunner, collect, expected, make_engine, make_request, run_to_end

A, B = (0, 1), (0, 2)


def test_one_request_gives_the_tokens_of_the_model() -> None:
    engine, request = make_engine(), make_request(range(10))
    engine.add(A, request)
    output = run_to_end(engine)[A, 0]
    assert output.token_ids == expected(request, 0)
    assert output.finish_reason is FinishReason.LENGTH
    assert output.num_cached_tokens == 0


@pytest.mark.parametrize("budget", [4, 5, 8, 64])
@pytest.mark.parametrize("num_blocks", [12, 16, 64])
def test_many_requests_share_the_machine_and_get_the_same_tokens(budget: int, num_blocks: int) -> None:
    engine = make_engine(num_blocks, budget=budget)
    requests = {(0, i): make_request(range(i, 2 * i + 3), num_samples=1 + i % 5, seed=i) for i in range(12)}
    for handle, request in requests.items():
        engine.add(handle, request)
    outputs = run_to_end(engine)
    for handle, request in requests.items():
        for sample in range(request.num_samples):
            assert outputs[handle, sample].token_ids == expected(request, sample)
    assert engine.stats().num_used_blocks == 0


def test_a_small_cache_preempts_and_says_so() -> None:
    engine = make_engine(num_blocks=6, max_model_len=24)
    engine.add(A, make_request(range(8), max_tokens=12))
    engine.add(B, make_request(range(8), max_tokens=12, seed=1))
    outputs = run_to_end(engine)
    assert engine.stats().num_preemptions > 0
    timings = outputs[B, 0].timings
    assert timings is not None
    assert timings.num_preemptions > 0


def test_samples_share_the_prompt_and_draw_their_own_tokens() -> None:
    engine, request = make_engine(), make_request(range(9), num_samples=3)
    engine.add(A, request)
    outputs = run_to_end(engine)
    assert len({outputs[A, i].token_ids for i in range(3)}) == 3
    assert engine.stats().num_prompt_tokens == 9 + 2  # the prompt once, its last position again for each other sample


def test_more_samples_than_slots_are_admitted_as_slots_free() -> None:
    engine, request = make_engine(max_num_seqs=2), make_request(range(5), num_samples=7)
    engine.add(A, request)
    outputs = run_to_end(engine)
    assert [outputs[A, i].token_ids for i in range(7)] == [expected(request, i) for i in range(7)]


@pytest.mark.parametrize("num_blocks", [6, 7, 8])
def test_samples_share_the_prompt_even_where_blocks_run_out(num_blocks: int) -> None:
    """A sample that is pushed out by another of its request goes on behind the prompt's whole blocks."""
    engine, request = make_engine(num_blocks, max_num_seqs=2), make_request(range(12), max_tokens=12, num_samples=6)
    engine.add(A, request)
    outputs = run_to_end(engine)
    assert [outputs[A, i].token_ids for i in range(6)] == [expected(request, i) for i in range(6)]
    stats = engine.stats()
    assert stats.num_preemptions > 0
    assert stats.num_prompt_tokens <= 12 + 4 * (5 + stats.num_preemptions)  # a partial block at most, each time


def test_prompt_logprobs_come_in_ascending_slices_that_cover_the_prompt() -> None:
    engine = make_engine(budget=4)
    engine.add(A, make_request(range(11), num_prompt_logprobs=0, max_tokens=2))
    slices = []
    while engine.has_work:
        slices += [output for _, output in engine.step() if output.sample_index == PROMPT]
    assert slices[0].prompt_start == 1
    assert [token for s in slices for token in s.token_ids] == list(range(1, 11))
    assert [value for s in slices if s.logprobs for value in s.logprobs.chosen] == [-float(p) for p in range(1, 11)]


def test_prompt_logprobs_are_sent_once_in_spite_of_preemption() -> None:
    engine = make_engine(num_blocks=6, max_model_len=24)
    for handle in (A, B):
        engine.add(handle, make_request(range(8), max_tokens=12, num_prompt_logprobs=0, num_samples=2))
    outputs = run_to_end(engine)
    assert engine.stats().num_preemptions > 0
    assert [outputs[handle, PROMPT].token_ids for handle in (A, B)] == [tuple(range(1, 8))] * 2


def test_scoring_only_ends_every_sample_without_a_token() -> None:
    engine = make_engine()
    engine.add(A, make_request(range(6), max_tokens=0, num_prompt_logprobs=1, num_samples=2))
    outputs = run_to_end(engine)
    assert outputs[A, PROMPT].token_ids == tuple(range(1, 6))
    assert [(outputs[A, i].token_ids, outputs[A, i].finish_reason) for i in (0, 1)] == [((), FinishReason.LENGTH)] * 2


@pytest.mark.parametrize("kind", ["end_token_ids", "stop_token_ids"])
def test_end_and_stop_tokens_finish_and_stop_tokens_are_named(kind: str) -> None:
    third = expected(make_request(range(5)), 0)[2]
    engine = make_engine()
    engine.add(A, make_request(range(5), **{kind: (third,)}))  # type: ignore[arg-type]
    output = run_to_end(engine)[A, 0]
    assert output.finish_reason is FinishReason.STOP
    assert output.token_ids[-1] == third
    assert output.stop_token_id == (third if kind == "stop_token_ids" else None)


def test_nothing_stops_before_min_tokens() -> None:
    first = expected(make_request(range(5)), 0)[0]
    engine = make_engine()
    engine.add(A, make_request(range(5), end_token_ids=(first,), min_tokens=8))
    assert len(run_to_end(engine)[A, 0].token_ids) == 8


def test_a_resumed_request_goes_on_as_if_never_interrupted() -> None:
    whole = expected(make_request(range(7)), 0)
    engine = make_engine()
    engine.add(A, make_request(range(7), resumed_token_ids=whole[:3]))
    output = run_to_end(engine)[A, 0]
    assert output.token_ids == whole[3:]
    assert output.num_cached_tokens == 0


@pytest.mark.parametrize(("resumed", "num_samples"), [((1, 2), 2), (range(8), 1), ((97,), 1)])
def test_what_can_not_be_resumed_is_refused(resumed: range, num_samples: int) -> None:
    with pytest.raises(InvalidRequest, match=r"resumed|out of vocabulary"):
        make_engine().add(A, make_request(range(5), resumed_token_ids=tuple(resumed), num_samples=num_samples))


@pytest.mark.parametrize("num_steps", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("stopped", [0, 1])
def test_stopping_one_sample_leaves_the_others(num_steps: int, stopped: int) -> None:
    engine, request = make_engine(budget=4), make_request(range(10), num_samples=3)
    engine.add(A, request)
    outputs: dict[tuple[tuple[int, int], int], TokenOutput] = {}
    for _ in range(num_steps):
        collect(engine, outputs)
    engine.stop(A, stopped)
    later = run_to_end(engine)
    assert later[A, stopped].finish_reason is FinishReason.ABORT
    for sample in {0, 1, 2} - {stopped}:
        assert later[A, sample].token_ids == expected(request, sample)[-len(later[A, sample].token_ids) :]
    assert engine.stats().num_used_blocks == 0


def test_an_aborted_request_is_never_heard_of_again() -> None:
    engine = make_engine()
    engine.add(A, make_request(range(5), num_samples=2))
    engine.step()
    engine.abort(A)
    assert not engine.has_work
    assert engine.step() == []
    assert engine.stats().num_used_blocks == 0


def test_a_request_past_its_deadline_ends_with_an_error() -> None:
    engine = make_engine()
    engine.add(A, make_request(range(5), deadline=1.0, num_samples=2))
    outputs = run_to_end(engine)
    assert {(o.finish_reason, o.error_code) for o in outputs.values()} == {(FinishReason.ERROR, "request_timeout")}


def test_a_row_that_is_not_finite_ends_its_sequence_alone_and_wipes_its_blocks() -> None:
    runner = ToyRunner(32)
    engine, request = make_engine(budget=16, runner=runner), make_request(range(5))
    runner.poisoned.add((B, 0))
    engine.add(A, request)
    engine.add(B, make_request(range(5)))
    outputs = run_to_end(engine)
    assert (outputs[B, 0].finish_reason, outputs[B, 0].error_code) == (FinishReason.ERROR, "not_finite")
    assert outputs[A, 0].token_ids == expected(request, 0)
    assert len(runner.wiped) == 2


@pytest.mark.parametrize("num_blocks", range(6, 11))
@pytest.mark.parametrize("num_steps", [2, 3, 5])
def test_the_blocks_of_a_failed_sample_are_not_wiped_in_other_hands(num_blocks: int, num_steps: int) -> None:
    """Its sibling is preempted, and the older request takes over the prompt's blocks, all within one step."""
    runner = ToyRunner(num_blocks)
    engine = make_engine(num_blocks, budget=16, runner=runner)
    older, pair = make_request(range(4), max_tokens=20), make_request(range(8), max_tokens=16, num_samples=2)
    engine.add(A, older)
    engine.add(B, pair)
    first: dict[tuple[tuple[int, int], int], TokenOutput] = {}
    for _ in range(num_steps):
        collect(engine, first)
    runner.poisoned.add((B, 0))
    outputs = run_to_end(engine)
    assert outputs[A, 0].token_ids == expected(older, 0)[num_steps:]
    assert outputs[B, 1].token_ids == expected(pair, 1)[-len(outputs[B, 1].token_ids) :]
    assert outputs[B, 0].error_code == "not_finite"


def test_a_prompt_that_is_not_finite_fails_every_sample_that_waits_for_it() -> None:
    runner = ToyRunner(32)
    engine = make_engine(budget=4, runner=runner)
    runner.poisoned.add((A, 0))
    engine.add(A, make_request(range(11), num_samples=3, num_prompt_logprobs=0))
    outputs = [output for _, output in engine.step()]
    assert {(o.sample_index, o.error_code) for o in outputs} == {(i, "not_finite") for i in range(3)}
    assert not engine.has_work
    assert engine.step() == []


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "error"),
    [
        ((), 1, InvalidRequest),
        ((97,), 1, InvalidRequest),
        ((-1,), 1, InvalidRequest),
        (range(60), 5, ContextLengthExceeded),
    ],
)
def test_what_can_never_run_is_refused(prompt: range, max_tokens: int, error: type[InvalidRequest]) -> None:
    engine = make_engine()
    with pytest.raises(error):
        engine.add(A, make_request(prompt, max_tokens=max_tokens))
    assert not engine.has_work


@pytest.mark.parametrize(
    ("sampling", "param"),
    [
        (SamplingParams(allowed_token_ids=(0, WIDTH)), "allowed_token_ids[1]"),
        (SamplingParams(allowed_token_ids=(-1,)), "allowed_token_ids[0]"),
        (SamplingParams(logit_bias=((WIDTH, 1.0),)), f"logit_bias.{WIDTH}"),
    ],
)
def test_a_setting_for_a_token_that_no_row_has_is_refused(sampling: SamplingParams, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        make_engine().add(A, make_request((1,), sampling=sampling))
    assert refused.value.param == param


class MaskedRunner(ToyRunner):
    """Finds no token to choose from the given position on."""

    def __init__(self, num_blocks: int, position: int) -> None:
        super().__init__(num_blocks)
        self.position = position

    def run(self, work: SchedulerOutput) -> list[RowResult]:
        none_left = SampledToken(0, has_token=False)
        return [
            replace(result, sampled=none_left) if result.sampled and item.end >= self.position else result
            for item, result in zip(work.scheduled, super().run(work), strict=True)
        ]


@pytest.mark.parametrize("position", [3, 5])
def test_a_sample_without_a_token_left_ends_with_what_it_has(position: int) -> None:
    engine = make_engine(runner=MaskedRunner(32, position))
    request = make_request((1, 2, 3), num_samples=2)
    engine.add(A, request)
    for (_, sample), output in run_to_end(engine).items():
        assert output.token_ids == expected(request, sample)[: position - 3]
        assert (output.finish_reason, output.error_code) == (FinishReason.LENGTH, "no_token_left")
    assert engine.stats().num_used_blocks == 0


def test_credit_counts_what_no_step_has_touched() -> None:
    engine: LLMEngine = make_engine(max_num_seqs=1)
    for number in range(3):
        engine.add((0, number), make_request(range(5)))
    assert engine.credit() == Credit(97, 10_000 - 15)
    engine.step()
    assert engine.credit() == Credit(98, 10_000 - 10)


def test_credit_counts_a_request_once_however_many_samples_wait() -> None:
    engine = make_engine(max_num_seqs=1)
    for handle in (A, B):
        engine.add(handle, make_request(range(5), num_samples=8))
    assert engine.credit() == Credit(98, 10_000 - 10)
    engine.step()
    assert engine.credit() == Credit(99, 10_000 - 5)


def test_first_come_is_first_served() -> None:
    engine = make_engine(max_num_seqs=1)
    for number in range(4):
        engine.add((0, number), make_request(range(5), max_tokens=2))
    order = []
    while engine.has_work:
        order += [handle[1] for handle, output in engine.step() if output.finish_reason]
    assert order == [0, 1, 2, 3]
