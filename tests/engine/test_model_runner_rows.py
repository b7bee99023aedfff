"""Which rows of a step the runner reads, and what it makes of those that are not finite; over a model of one line."""

from __future__ import annotations

import weakref
from collections.abc import Sequence as Ordered
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ensue.engine.model_runner import NUM_SCORED_ROWS, ModelRunner
from ensue.engine.sampler import Sampler
from ensue.engine.scheduler import ScheduledSequence, SchedulerOutput
from ensue.engine.sequence import Sequence
from ensue.model.attention import AttentionBatch, KVCache
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams

WIDTH, BLOCK_SIZE = 512, 64


class CountingModel:
    """Says after each token the next id; a token in `bad` makes its row NaN. Notes how many rows the head is given."""

    device = torch.device("cpu")

    def __init__(self, bad: Ordered[int] = ()) -> None:
        self.bad = torch.tensor(bad, dtype=torch.int64)
        self.num_rows: list[int] = []

    def forward(self, token_ids: Tensor, batch: AttentionBatch, cache: KVCache) -> Tensor:
        hidden = torch.nn.functional.one_hot((token_ids + 1) % WIDTH, WIDTH).float() * 50
        hidden[torch.isin(token_ids, self.bad)] = torch.nan
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        self.num_rows.append(len(hidden))
        return hidden.contiguous()


class Shape:
    num_layers, num_kv_heads, head_dim = 1, 1, 16
    sliding_windows = (None,)


def sequence_of(token_ids: Ordered[int], *, max_tokens: int = 1, scores: bool = False) -> Sequence:
    sampling = SamplingParams(temperature=0.0)
    scored = 0 if scores else None
    request = GenerationRequest("r", tuple(token_ids), sampling, 0, max_tokens, num_prompt_logprobs=scored)
    sequence = Sequence((0, 1), request, 0, 0, 0.0)
    sequence.block_table = list(range(len(token_ids) // BLOCK_SIZE + 1))
    return sequence


def runner_of(model: CountingModel, num_blocks: int = 8) -> ModelRunner:
    cache = KVCache.allocate(Shape(), num_blocks, BLOCK_SIZE, torch.float32, "cpu")
    return ModelRunner(model, cache, Sampler(), BLOCK_SIZE)


def test_only_the_rows_that_choose_reach_the_head() -> None:
    model = CountingModel()
    whole, part = sequence_of(range(10)), sequence_of(range(100, 120))
    work = SchedulerOutput([ScheduledSequence(whole, 0, 10), ScheduledSequence(part, 0, 15)])
    results = runner_of(model).run(work)
    assert [r.sampled.token_id if r.sampled else None for r in results] == [10, None]
    assert model.num_rows == [1]


@pytest.mark.parametrize("cuts", [[0, 200], [0, 1, 200], [0, 64, 128, 199, 200], [0, 63, 130, 200]])
def test_every_prompt_token_is_scored_once_by_the_row_before_it(cuts: list[int]) -> None:
    """Each token is the one that the row before it says, but for position 150."""
    token_ids = [*range(150), 7, *range(151, 200)]
    model, sequence = CountingModel(), sequence_of(token_ids, max_tokens=0, scores=True)
    runner, chosen = runner_of(model), list[float]()
    for start, end in pairwise(cuts):
        item = ScheduledSequence(sequence, start, end)
        (result,) = runner.run(SchedulerOutput([item]))
        chosen += result.scores.chosen if result.scores else ()
        sequence.next_to_score = max(sequence.next_to_score, item.scored.stop)
    assert [position for position, value in enumerate(chosen, start=1) if value < -1] == [150, 151]
    assert len(chosen) == 199
    assert max(model.num_rows) <= NUM_SCORED_ROWS


class LivingLogits(CountingModel):
    """Counts the rows of logits that are held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.num_living = self.peak = 0

    def logits(self, hidden: Tensor) -> Tensor:
        logits = super().logits(hidden).clone()
        self._count(len(logits))
        weakref.finalize(logits, self._count, -len(logits))
        return logits

    def _count(self, num_rows: int) -> None:
        self.num_living += num_rows
        self.peak = max(self.peak, self.num_living)


@pytest.mark.parametrize("num_tokens", [200, 3000])
def test_a_long_prompt_is_scored_in_the_memory_of_a_short_one(num_tokens: int) -> None:
    model = LivingLogits()
    sequence = sequence_of([i % WIDTH for i in range(num_tokens)], max_tokens=0, scores=True)
    work = SchedulerOutput([ScheduledSequence(sequence, 0, num_tokens)])
    (result,) = runner_of(model, num_blocks=64).run(work)
    assert result.scores is not None
    assert len(result.scores.chosen) == num_tokens - 1
    assert model.num_living == 0
    assert model.peak == 2 * NUM_SCORED_ROWS  # a slice is let go when the next one stands


@pytest.mark.parametrize("end", [5, 10])
@pytest.mark.parametrize("bad", [0, 4])
def test_a_bad_row_is_noticed_though_nothing_is_read_of_it(bad: int, end: int) -> None:
    """In a prompt's first chunk or in the middle of the last; the neighbour is none the worse."""
    model = CountingModel([bad])
    work = SchedulerOutput(
        [ScheduledSequence(sequence_of(range(10)), 0, end), ScheduledSequence(sequence_of((50, 51)), 0, 2)]
    )
    results = runner_of(model).run(work)
    assert [r.is_finite for r in results] == [False, True]
    assert results[1].sampled is not None
    assert results[1].sampled.token_id == 52


def test_a_head_that_overflows_is_noticed() -> None:
    model = CountingModel()
    model.logits = lambda hidden: hidden * torch.inf  # type: ignore[method-assign]
    for sequence in (sequence_of(range(3)), sequence_of(range(3), max_tokens=0, scores=True)):
        (result,) = runner_of(model).run(SchedulerOutput([ScheduledSequence(sequence, 0, 3)]))
        assert not result.is_finite
