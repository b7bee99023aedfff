"""The scripted engine keeps the contract of a real one."""

from __future__ import annotations

import pytest

from ensue.engine.fake import FakeEngine
from ensue.errors import ContextLengthExceeded, GenerationFailed, Overloaded
from ensue.outputs import PROMPT, FinishReason, TokenOutput
from ensue.request import BeamParams
from tests.engine.toy import make_request


async def outputs_of(engine: FakeEngine, **more: object) -> list[TokenOutput]:
    return [output async for output in await engine.generate(make_request((5, 6, 7), **more))]  # type: ignore[arg-type]


async def test_it_repeats_the_prompt_each_sample_from_further_on() -> None:
    outputs = await outputs_of(FakeEngine(), max_tokens=4, num_samples=2)
    assert [o.token_ids[0] for o in outputs if o.sample_index == 1] == [6, 7, 5, 6]
    assert [o.finish_reason for o in outputs if o.sample_index == 0] == [None, None, None, FinishReason.LENGTH]


async def test_end_and_stop_tokens_finish() -> None:
    by_end = (await outputs_of(FakeEngine(), end_token_ids=(6,)))[-1]
    by_stop = (await outputs_of(FakeEngine(), stop_token_ids=(6,)))[-1]
    assert (by_end.finish_reason, by_end.stop_token_id) == (FinishReason.STOP, None)
    assert (by_stop.finish_reason, by_stop.stop_token_id) == (FinishReason.STOP, 6)


async def test_prompt_logprobs_come_first_and_scoring_only_ends_without_tokens() -> None:
    slice_, end = await outputs_of(FakeEngine(), max_tokens=0, num_prompt_logprobs=2)
    assert (slice_.sample_index, slice_.prompt_start, slice_.token_ids) == (PROMPT, 1, (6, 7))
    assert slice_.logprobs is not None
    assert slice_.logprobs.top_ids == ((0, 1), (0, 1))
    assert (end.token_ids, end.finish_reason) == ((), FinishReason.LENGTH)


async def test_beams_come_whole_the_best_first() -> None:
    outputs = await outputs_of(FakeEngine(), max_tokens=4, num_samples=2, num_logprobs=1, beam=BeamParams(3))
    assert [output.token_ids for output in outputs] == [(5, 6, 7, 5), (6, 7, 5, 6)]
    assert [output.beam_score for output in outputs] == [0, -1]
    assert all(output.finish_reason is FinishReason.LENGTH for output in outputs)
    assert all(output.logprobs is not None and len(output.logprobs.chosen) == 4 for output in outputs)


async def test_a_stopped_sample_says_so_once_and_the_other_goes_on() -> None:
    generation = await FakeEngine().generate(make_request((5, 6), num_samples=2, max_tokens=5))
    await anext(generation)
    generation.stop(0)
    rest = [output async for output in generation]
    assert [o.finish_reason for o in rest if o.sample_index == 0] == [FinishReason.ABORT]
    assert sum(len(o.token_ids) for o in rest if o.sample_index == 1) == 5


async def test_errors_come_before_or_amid_the_tokens() -> None:
    with pytest.raises(GenerationFailed):
        await outputs_of(FakeEngine(error=GenerationFailed("broken")))
    generation = await FakeEngine(error=GenerationFailed("broken"), error_after=1).generate(make_request((5,)))
    await anext(generation)
    with pytest.raises(GenerationFailed):
        await anext(generation)


async def test_it_refuses_what_a_real_engine_refuses() -> None:
    with pytest.raises(ContextLengthExceeded):
        await outputs_of(FakeEngine(max_model_len=4), max_tokens=2)
    engine = FakeEngine()
    await engine.close(0.0)
    with pytest.raises(Overloaded):
        await outputs_of(engine)


async def test_all_requests_get_a_token_at_once_whether_or_not_they_are_read() -> None:
    engine = FakeEngine()
    slow, fast = [await engine.generate(make_request((5, 6, 7), max_tokens=40)) for _ in range(2)]
    read = [output async for output in fast]
    assert [len(output.token_ids) for output in read] == [1] * 40
    (whole,) = [output async for output in slow]
    assert whole.token_ids == tuple(token for output in read for token in output.token_ids)
    assert not engine.running


async def test_a_cancelled_request_runs_no_more() -> None:
    engine = FakeEngine()
    cancelled = await engine.generate(make_request((5,), max_tokens=500))
    await cancelled.aclose()
    assert not engine.running
