"""From a scheduled step to tensors and back: builds the batch, runs the decoder, samples and scores rows."""

from __future__ import annotations

from collections.abc import Sequence as Ordered
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ensue.engine.llm_engine import RowResult
from ensue.engine.rows import Candidates, SampledToken
from ensue.engine.sampler import Sampler, has_failed
from ensue.engine.scheduler import ScheduledSequence, SchedulerOutput
from ensue.model.attention import AttentionBatch, KVCache
from ensue.outputs import TokenLogprobs

NUM_SCORED_ROWS = 64  # rows of logits held at once while a prompt is scored


class Model(Protocol):
    """What the runner needs of a decoder."""

    @property
    def device(self) -> torch.device: ...

    def forward(self, token_ids: Tensor, batch: AttentionBatch, cache: KVCache) -> Tensor:
        """[num_tokens] → hidden [num_tokens, hidden_size] after the final norm."""

    def logits(self, hidden: Tensor) -> Tensor:
        """[num_rows, hidden_size] → float32 [num_rows, logits_width]."""


class ModelRunner:
    """Runs one step on one device."""

    def __init__(self, model: Model, cache: KVCache, sampler: Sampler, block_size: int) -> None:
        self._model = model
        self._cache = cache
        self._sampler = sampler
        self._block_size = block_size

    @torch.inference_mode()
    def run(self, work: SchedulerOutput) -> list[RowResult]:
        """Compute one step; one result per scheduled sequence, in their order."""
        if work.blocks_to_zero:
            self._cache.zero_blocks(work.blocks_to_zero)
        if work.blocks_to_copy:
            self._cache.copy_blocks(work.blocks_to_copy)
        if not work.scheduled:
            return []
        token_ids, batch = self._batch(work.scheduled)
        hidden = self._model.forward(token_ids, batch, self._cache)  # [num_tokens, hidden_size]
        starts = batch.starts[:-1]
        are_finite = np.logical_and.reduceat(torch.isfinite(hidden).all(1).cpu().numpy(), starts)
        sampled = self._sample(work.scheduled, hidden, batch.starts)
        scored = [self._score(item, hidden[start:]) for item, start in zip(work.scheduled, starts, strict=True)]
        return [_result(*found) for found in zip(sampled, scored, are_finite.tolist(), strict=True)]

    def _batch(self, scheduled: Ordered[ScheduledSequence]) -> tuple[Tensor, AttentionBatch]:
        """Token ids int64 [num_tokens] and where each row stands."""
        ids = np.concatenate([np.array(i.sequence.token_ids[i.start : i.end], np.int64) for i in scheduled])
        positions = np.concatenate([np.arange(i.start, i.end, dtype=np.int32) for i in scheduled])
        query_start = np.cumsum([0, *(i.end - i.start for i in scheduled)], dtype=np.int32)
        tables = np.zeros((len(scheduled), max(len(i.sequence.block_table) for i in scheduled)), np.int32)
        for row, item in enumerate(scheduled):
            tables[row, : len(item.sequence.block_table)] = item.sequence.block_table
        device = self._model.device
        batch = AttentionBatch.build(positions, query_start, tables, device, self._block_size)
        return torch.from_numpy(ids).to(device), batch

    def _sample(
        self, scheduled: Ordered[ScheduledSequence], hidden: Tensor, starts: Ordered[int]
    ) -> list[SampledToken | Candidates | None]:
        """Choose the next token of each sequence whose last row says so; the likeliest ones where it is a beam."""
        wanted = [i for i, item in enumerate(scheduled) if item.is_sampled]
        found: list[SampledToken | Candidates | None] = [None] * len(scheduled)
        if wanted:
            logits = self._model.logits(hidden[[starts[i + 1] - 1 for i in wanted]])
            rows = [scheduled[i].sequence.sample_row() for i in wanted]
            for i, chosen in zip(wanted, self._sampler.choose(logits, rows), strict=True):
                found[i] = chosen
        return found

    def _score(self, item: ScheduledSequence, hidden: Tensor) -> TokenLogprobs | None:
        """Log-probabilities of the given tokens that this sequence's rows predict, a slice of logits at a time.

        Args:
            hidden: [≥ end − start, hidden_size], the sequence's rows first; row i stands at position start + i.
        """
        wanted = item.scored
        if not wanted:
            return None
        runs = []
        for first in range(wanted.start, wanted.stop, NUM_SCORED_ROWS):
            last = min(first + NUM_SCORED_ROWS, wanted.stop)
            logits = self._model.logits(hidden[first - 1 - item.start : last - 1 - item.start])
            targets = item.sequence.token_ids[first:last]
            runs.append(self._sampler.score(logits, targets, item.num_scored_logprobs))
        return TokenLogprobs.joined(runs)


def _result(found: SampledToken | Candidates | None, scored: TokenLogprobs | None, is_finite: bool) -> RowResult:
    """A sequence's rows are finite if the hidden states are, in chunks that nothing is read of too, and all logits."""
    has_bad_logits = (found is not None and not found.is_finite) or (scored is not None and has_failed(scored))
    is_finite = is_finite and not has_bad_logits
    if isinstance(found, Candidates):
        return RowResult(None, scored, is_finite, found)
    return RowResult(found, scored, is_finite)
