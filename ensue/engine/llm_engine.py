"""The step loop's one turn: schedule, run, update. Requests in, token outputs out; knows no sockets and no tensors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ensue.engine.beam_group import BeamGroup
from ensue.engine.block_manager import BlockManager
from ensue.engine.check import check
from ensue.engine.guide import Guide
from ensue.engine.rows import Candidates, SampledToken, columns_of
from ensue.engine.scheduler import ScheduledSequence, Scheduler, SchedulerOutput
from ensue.engine.sequence import Handle, Sequence
from ensue.errors import GenerationFailed
from ensue.guided.backend import Matcher
from ensue.outputs import PROMPT, EngineInfo, EngineStats, FinishReason, Timings, TokenLogprobs, TokenOutput
from ensue.request import GenerationRequest

Output = tuple[Handle, TokenOutput]

MAX_FORCED = 8  # each costs a mask, for which the others of a step wait


@dataclass(frozen=True, slots=True)
class RowResult:
    """What the model runner found for one scheduled sequence."""

    sampled: SampledToken | None = None  # where the last row chooses a token
    scores: TokenLogprobs | None = None  # of the positions `scored`, where there are any
    is_finite: bool = True  # False: a NaN or an infinity stands in its rows, and maybe in its blocks
    candidates: Candidates | None = None  # where the last row is a beam's, instead of `sampled`


class Runner(Protocol):
    """The model, as the step loop sees it."""

    def run(self, work: SchedulerOutput) -> list[RowResult]:
        """Compute one step; one result per scheduled sequence, in their order."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait."""

    max_requests: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Credit:
    """Room in the waiting queue."""

    num_requests: int
    num_tokens: int


class LLMEngine:
    """Turns requests into tokens, a step at a time. Not thread-safe: calls come between steps."""

    def __init__(
        self,
        runner: Runner,
        info: EngineInfo,
        max_num_batched_tokens: int,
        limits: QueueLimits,
        *,
        has_prefix_cache: bool = True,
        max_forced: int = MAX_FORCED,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            max_forced: tokens that a grammar may add to each one that is chosen.
        """
        self.info = info
        self._runner = runner
        self._limits = limits
        self._max_forced = max_forced
        self._clock, self._now = clock, now
        blocks = BlockManager(info.num_blocks, info.block_size)
        self._scheduler = Scheduler(
            blocks, info.max_num_seqs, max_num_batched_tokens, has_prefix_cache=has_prefix_cache
        )
        self._requests: dict[Handle, list[Sequence]] = {}  # live samples, or live beams
        self._groups: dict[Handle, BeamGroup] = {}  # of the requests that search for beams
        self._outputs: list[Output] = []  # made between steps
        self._num_arrivals = self._num_steps = self._num_prompt_tokens = self._num_generated = self._num_forced = 0

    # ---- requests

    def add(self, handle: Handle, request: GenerationRequest, matcher: Matcher | None = None) -> None:
        """Queue a request.

        Args:
            matcher: of the request's grammar, where it has one; it now belongs to the engine.

        Raises:
            InvalidRequest: it can never run on this engine.
            GenerationFailed: its grammar can't even begin.
        """
        check(request, self.info)
        guide = None if matcher is None else Guide.of(matcher, request)
        self._num_arrivals += 1
        leader = Sequence(handle, request, 0, self._num_arrivals, self._clock(), guide=guide)
        if request.beam is not None:
            self._groups[handle] = BeamGroup(leader)
        else:
            leader.siblings = [leader.sibling(sample) for sample in range(1, request.num_samples)]
        self._requests[handle] = [leader, *leader.siblings]
        self._scheduler.add(leader)

    def stop(self, handle: Handle, sample_index: int) -> None:
        """End one sample, where it still runs; its output says `abort`."""
        if handle in self._groups:
            self._stop_rank(handle, sample_index)
            return
        for sequence in list(self._requests.get(handle, ())):
            if sequence.sample == sample_index:
                self._finish(sequence, FinishReason.ABORT)
                self._outputs.append((handle, self._output(sequence)))

    def _stop_rank(self, handle: Handle, rank: int) -> None:
        """Forget one of the beams that will be told of; the others still need all that compete with them."""
        group = self._groups[handle]
        if rank in group.ranks:
            group.ranks.remove(rank)
            self._outputs.append((handle, group.ending(rank, FinishReason.ABORT, None, self._timings(group.beams[0]))))
        if not group.ranks:
            self._finish_silently(handle)

    def abort(self, handle: Handle) -> None:
        """End all samples of a request; nothing more is said of it."""
        self._finish_silently(handle)
        self._outputs = [(h, output) for h, output in self._outputs if h != handle]

    def abort_client(self, client: int) -> None:
        """End all requests of a client that has gone."""
        for handle in [handle for handle in self._requests if handle[0] == client]:
            self.abort(handle)

    @property
    def has_work(self) -> bool:
        return bool(self._requests or self._outputs)

    # ---- steps

    def step(self) -> list[Output]:
        """Compute one step and return what it brought."""
        self._expire()
        work = self._scheduler.schedule()
        self._note_scheduled(work)
        results = self._runner.run(work) if work.scheduled or work.blocks_to_zero else []
        for item, result in zip(work.scheduled, results, strict=True):
            self._outputs.extend((item.sequence.handle, output) for output in self._update(item, result))
        self._num_steps += bool(work.scheduled)
        outputs, self._outputs = self._outputs, []
        return outputs

    def _update(self, item: ScheduledSequence, result: RowResult) -> Iterator[TokenOutput]:
        sequence = item.sequence
        if sequence.is_finished:  # another beam of its group has failed in this step
            return
        if not result.is_finite:
            yield from self._fail(sequence, "not_finite")
            return
        self._scheduler.confirm(item)
        if result.scores is not None:
            yield self._scored(sequence, item.scored, result.scores)
        if sequence.num_computed >= sequence.num_prompt_tokens and sequence.siblings:
            self._scheduler.fork(sequence)
        if result.candidates is not None:
            yield from self._hold(sequence, result.candidates)
        elif result.sampled is not None and sequence.guide is not None and sequence.guide.is_complete:
            yield self._complete(sequence)  # only the empty text is allowed, or the last token was forced and held
        elif result.sampled is not None and result.sampled.has_token:
            yield self._take(sequence, result.sampled)
        elif result.sampled is not None:
            self._finish(sequence, FinishReason.LENGTH)
            yield self._output(sequence, error_code="no_token_left")
        elif sequence.request.max_tokens == 0 and sequence.num_to_compute == 0:
            yield from self._finish_all(sequence.handle, FinishReason.LENGTH)

    def _take(self, sequence: Sequence, token: SampledToken) -> TokenOutput:
        """Append a chosen token, and those that follow from it: they are computed with the next step."""
        self._note_chosen(sequence)
        told: list[SampledToken] = []
        try:
            sequence.append(token, self.info.max_model_len)
            told.append(token)
            told.extend(self._forced(sequence))
        except GenerationFailed:  # of this text alone
            self._finish(sequence, FinishReason.ERROR)
            return self._output(sequence, told, error_code="grammar_failed")
        if sequence.finish_reason is not None:
            self._finish(sequence, sequence.finish_reason)
        return self._output(sequence, told)

    def _forced(self, sequence: Sequence) -> Iterator[SampledToken]:
        """Append the tokens that the grammar leaves no choice of; gives those that can be told at once."""
        for _ in range(self._max_forced):
            token_id = None if sequence.is_finished else sequence.forced_token(self.info.max_model_len)
            if token_id is None or token_id >= self.info.logits_width:
                return
            if sequence.request.num_logprobs is not None:
                sequence.hold(token_id)
            else:
                token = SampledToken(token_id)
                sequence.append(token, self.info.max_model_len)
                yield token
            self._num_generated += 1
            self._num_forced += 1

    def _complete(self, sequence: Sequence) -> TokenOutput:
        sequence.is_complete = True
        self._finish(sequence, FinishReason.STOP)
        return self._output(sequence)

    def _hold(self, beam: Sequence, candidates: Candidates) -> Iterator[TokenOutput]:
        """Let a beam wait for the others of its group; when it was the last, all go on, or end."""
        self._note_chosen(beam)
        self._scheduler.pause(beam)
        group = self._groups[beam.handle]
        group.hold(beam, candidates)
        if group.has_all:
            yield from self._advance(group)

    def _advance(self, group: BeamGroup) -> Iterator[TokenOutput]:
        """Put the beams of the next length in place of these."""
        parents = group.beams
        try:
            branches = group.advance()
        except GenerationFailed:
            yield from self._fail(parents[0], "grammar_failed")
            return
        self._scheduler.branch(branches)
        self._requests[parents[0].handle] += group.beams
        for parent in parents:
            self._finish(parent, FinishReason.LENGTH)
        if group.is_done:
            yield from group.results(self._timings(parents[0]))

    def _scored(self, sequence: Sequence, scored: range, logprobs: TokenLogprobs) -> TokenOutput:
        """A slice of the prompt, or tokens that were held."""
        token_ids = tuple(sequence.token_ids[scored.start : scored.stop])
        if sequence.num_held:
            sequence.num_held -= len(scored)
            return TokenOutput(sequence.sample, token_ids, logprobs)
        sequence.next_to_score = scored.stop
        return TokenOutput(PROMPT, token_ids, logprobs, prompt_start=scored.start)

    def _output(
        self, sequence: Sequence, tokens: list[SampledToken] | None = None, error_code: str | None = None
    ) -> TokenOutput:
        """News of one sample."""
        tokens = tokens or []
        num_told = sequence.num_generated - len(sequence.request.resumed_token_ids) - sequence.num_held - len(tokens)
        is_first = sequence.sample == 0 and num_told == 0
        return TokenOutput(
            sample_index=sequence.sample,
            token_ids=tuple(token.token_id for token in tokens),
            logprobs=columns_of(tokens) if tokens and sequence.request.num_logprobs is not None else None,
            finish_reason=sequence.finish_reason,
            stop_token_id=sequence.stop_token_id if tokens else None,
            error_code=error_code,
            is_complete=sequence.is_complete,
            num_cached_tokens=sequence.num_cached_tokens or 0 if is_first else None,
            timings=self._timings(sequence) if is_first or sequence.is_finished else None,
        )

    def _timings(self, sequence: Sequence) -> Timings:
        now = self._clock()
        scheduled_at = now if sequence.scheduled_at is None else sequence.scheduled_at
        first_token_at = now if sequence.first_token_at is None else sequence.first_token_at
        return Timings(scheduled_at - sequence.added_at, first_token_at - scheduled_at, sequence.num_preemptions)

    # ---- ends

    def _finish(self, sequence: Sequence, reason: FinishReason, *, is_tainted: bool = False) -> None:
        """Take a sample out of the queues and give its blocks back."""
        sequence.finish_reason = reason
        samples = self._requests[sequence.handle]
        samples.remove(sequence)
        leader = next((s for s in samples if sequence in s.siblings), None)
        if leader is not None:
            leader.siblings.remove(sequence)
        else:
            self._scheduler.remove(sequence, is_tainted=is_tainted)
        if not samples:
            del self._requests[sequence.handle]
            self._groups.pop(sequence.handle, None)

    def _finish_silently(self, handle: Handle) -> None:
        for sequence in list(self._requests.get(handle, ())):
            self._finish(sequence, FinishReason.ABORT)

    def _finish_all(
        self, handle: Handle, reason: FinishReason, error_code: str | None = None, *, is_tainted: bool = False
    ) -> Iterator[TokenOutput]:
        """End all samples of a request alike."""
        group = self._groups.get(handle)
        for sequence in reversed(self._requests[handle].copy()):  # the one that leads its siblings last
            self._finish(sequence, reason, is_tainted=is_tainted)
            if group is None:
                yield self._output(sequence, error_code=error_code)
        if group is not None:
            yield from group.endings(reason, error_code, self._timings(group.beams[0]))

    def _fail(self, sequence: Sequence, error_code: str) -> Iterator[TokenOutput]:
        """End a sample, and those that wait for the prompt that it was computing: theirs is no better.

        A beam takes its whole group along: there is no ranking without it.
        """
        if sequence.handle in self._groups:
            yield from self._finish_all(sequence.handle, FinishReason.ERROR, error_code, is_tainted=True)
            return
        for sample in (*sequence.siblings, sequence):
            self._finish(sample, FinishReason.ERROR, is_tainted=True)
            yield self._output(sample, error_code=error_code)

    def _expire(self) -> None:
        """End the requests whose deadline has passed."""
        now = self._now()
        late = [
            h for h, s in self._requests.items() if s[0].request.deadline is not None and s[0].request.deadline < now
        ]
        for handle in late:
            outputs = self._finish_all(handle, FinishReason.ERROR, "request_timeout")
            self._outputs.extend((handle, output) for output in outputs)

    # ---- figures

    def _note_chosen(self, sequence: Sequence) -> None:
        if sequence.first_token_at is None:
            sequence.first_token_at = self._clock()
        self._num_generated += 1

    def _note_scheduled(self, work: SchedulerOutput) -> None:
        for item in work.scheduled:
            if item.sequence.scheduled_at is None:
                item.sequence.scheduled_at = self._clock()
            self._num_prompt_tokens += max(0, min(item.end, item.sequence.num_prompt_tokens) - item.start)

    def stats(self) -> EngineStats:
        scheduler = self._scheduler
        return EngineStats(
            num_running=len(scheduler.running),
            num_waiting=sum(len(s) for s in self._requests.values()) - len(scheduler.running),
            num_used_blocks=scheduler.blocks.num_used,
            num_blocks=scheduler.blocks.num_blocks,
            num_steps=self._num_steps,
            num_preemptions=scheduler.num_preemptions,
            num_prompt_tokens=self._num_prompt_tokens,
            num_generation_tokens=self._num_generated,
            num_forced_tokens=self._num_forced,
        )

    def credit(self) -> Credit:
        """Room left for requests that no step has touched yet; their samples share one prompt."""
        queued = [samples[0] for samples in self._requests.values() if all(s.scheduled_at is None for s in samples)]
        return Credit(
            max(0, self._limits.max_requests - len(queued)),
            max(0, self._limits.max_tokens - sum(s.num_prompt_tokens for s in queued)),
        )
