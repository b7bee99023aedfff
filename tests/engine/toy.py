"""A toy language model for the step loop: it really reads its context through block tables.

Its paged memory keeps, per position, a hash of all tokens up to there. A wrong table, a missing copy or a block shared
by accident gives a wrong hash, and so wrong tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence as Ordered
from dataclasses import replace

from ensue.engine.beam import BeamSearch, EndedBeam, Ending, Judge
from ensue.engine.llm_engine import MAX_FORCED, LLMEngine, QueueLimits, RowResult
from ensue.engine.rows import Candidates, SampledToken, SampleRow
from ensue.engine.scheduler import SchedulerOutput
from ensue.engine.sequence import Handle, Sequence
from ensue.guided.vocabulary import Vocabulary
from ensue.outputs import EngineInfo, TokenLogprobs, TokenOutput
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams

WIDTH, BLOCK_SIZE = 97, 4
VOCABULARY = Vocabulary((*(bytes([32 + i]) for i in range(95)), b"<end>", b"<stop>"), frozenset({95, 96}))
END, STOP = 95, 96
NUM_BEAM_TOKENS = 6  # beams of the toy model know these ids only
PLAIN = SamplingParams()


def mix(*values: int) -> int:
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=6).digest(), "big")


def state_after(context: Ordered[int]) -> int:
    """What the memory holds at the end of a context, computed without any cache."""
    state = 0
    for token in context:
        state = mix(state, token)
    return state


def next_token(context: Ordered[int], seed: int, sample: int) -> int:
    """What the toy model says after a context."""
    return mix(state_after(context), seed, sample, len(context)) % WIDTH


def ends_at(ids: frozenset[int]) -> Judge:
    """Beams end with these tokens, whatever stands before."""
    return lambda _, token_id: Ending.TOKEN if token_id in ids else None


def candidates_in(state: int, count: int, allowed: Ordered[int] = range(NUM_BEAM_TOKENS)) -> Candidates:
    """What it says may follow as a beam; eighths, so that sums are exact and ties occur."""
    ranked = sorted((mix(state, token) % 24, token) for token in allowed)[:count]
    raw = tuple(float(token) for _, token in ranked)
    return Candidates(tuple(token for _, token in ranked), tuple(-loss / 8 for loss, _ in ranked), raw, (1,) * len(raw))


class ToyRunner:
    """Runs steps over a paged memory of hashes."""

    def __init__(self, num_blocks: int) -> None:
        self.poisoned: set[tuple[Handle, int]] = set()  # samples whose rows come out not finite
        self.wiped: list[int] = []
        self.memory: list[list[int | None]] = [[None] * BLOCK_SIZE for _ in range(num_blocks)]

    def run(self, work: SchedulerOutput) -> list[RowResult]:
        for block in work.blocks_to_zero:
            self.memory[block] = [None] * BLOCK_SIZE
        self.wiped += work.blocks_to_zero
        for source, destination in work.blocks_to_copy:
            self.memory[destination] = list(self.memory[source])
        return [
            replace(
                self._compute(item.sequence, item.start, item.end, item.is_sampled, item.scored),
                is_finite=(item.sequence.handle, item.sequence.sample) not in self.poisoned,
            )
            for item in work.scheduled
        ]

    def _compute(self, sequence: Sequence, start: int, end: int, is_sampled: bool, scored: range) -> RowResult:
        table = sequence.block_table
        for position in range(start, end):
            before: int | None = 0
            if position:
                before = self.memory[table[(position - 1) // BLOCK_SIZE]][(position - 1) % BLOCK_SIZE]
            assert before is not None, "reads a position that nobody computed"
            self.memory[table[position // BLOCK_SIZE]][position % BLOCK_SIZE] = mix(
                before, sequence.token_ids[position]
            )
        state = self.memory[table[(end - 1) // BLOCK_SIZE]][(end - 1) % BLOCK_SIZE]
        assert state is not None
        row = sequence.sample_row()
        token = _chosen(mix(state, row.seed, row.sample_index, row.position), row) if is_sampled else None
        candidates = _candidates(state, row) if token and row.num_candidates else None
        columns = TokenLogprobs(
            tuple(-float(p) for p in scored), (1,) * len(scored), ((),) * len(scored), ((),) * len(scored)
        )
        return RowResult(None if candidates else token, columns if scored else None, candidates=candidates)


def _allowed(row: SampleRow) -> list[int]:
    """What a grammar allows. The only setting that this sampler knows."""
    bits = int.from_bytes(row.guide_mask or b"", "little")
    return [i for i in range(WIDTH) if bits >> i & 1 and i not in row.masked_ids]


def _candidates(state: int, row: SampleRow) -> Candidates:
    if row.guide_mask is None:
        return candidates_in(state, row.num_candidates)
    return candidates_in(state, row.num_candidates, _allowed(row))


def _chosen(noise: int, row: SampleRow) -> SampledToken:
    if row.guide_mask is None:
        return SampledToken(noise % WIDTH)
    allowed = _allowed(row)
    return SampledToken(allowed[noise % len(allowed)]) if allowed else SampledToken(0, has_token=False)


def make_request(
    prompt: Ordered[int],
    *,
    sampling: SamplingParams = PLAIN,
    max_tokens: int = 8,
    num_samples: int = 1,
    seed: int = 0,
    **more: object,
) -> GenerationRequest:
    return GenerationRequest(
        request_id="r",
        prompt_token_ids=tuple(prompt),
        sampling=sampling,
        seed=seed,
        max_tokens=max_tokens,
        num_samples=num_samples,
        **more,  # type: ignore[arg-type]
    )


def make_engine(
    num_blocks: int = 32,
    *,
    max_num_seqs: int = 4,
    budget: int = 8,
    max_model_len: int = 64,
    runner: ToyRunner | None = None,
    has_prefix_cache: bool = True,
    limits: QueueLimits | None = None,
    max_forced: int = MAX_FORCED,
) -> LLMEngine:
    info = EngineInfo(
        max_model_len=max_model_len,
        max_request_tokens=num_blocks * BLOCK_SIZE,
        logits_width=WIDTH,
        end_token_ids=(),
        block_size=BLOCK_SIZE,
        max_num_seqs=max_num_seqs,
        num_blocks=num_blocks,
        fingerprint="fp",
        row_independent=True,
    )
    limits = limits or QueueLimits(100, 10_000)
    runner = runner or ToyRunner(num_blocks)
    return LLMEngine(runner, info, budget, limits, has_prefix_cache=has_prefix_cache, max_forced=max_forced)


def run_to_end(engine: LLMEngine, max_steps: int = 2000) -> dict[tuple[Handle, int], TokenOutput]:
    """Step until nothing is left; the merged outputs by (handle, sample)."""
    merged: dict[tuple[Handle, int], TokenOutput] = {}
    for _ in range(max_steps):
        if not engine.has_work:
            return merged
        collect(engine, merged)
    raise AssertionError("the engine does not come to an end")


def collect(engine: LLMEngine, merged: dict[tuple[Handle, int], TokenOutput]) -> None:
    for handle, output in engine.step():
        key = (handle, output.sample_index)
        merged[key] = merged[key].merge(output) if key in merged else output


def expected(request: GenerationRequest, sample: int) -> tuple[int, ...]:
    """The tokens of one sample, from the definition of the toy model."""
    tokens = list(request.prompt_token_ids)
    for _ in range(request.max_tokens):
        tokens.append(next_token(tokens, request.seed, request.first_sample_index + sample))
        if tokens[-1] in (*request.end_token_ids, *request.stop_token_ids):
            break
    return tuple(tokens[len(request.prompt_token_ids) :])


def expected_beams(request: GenerationRequest) -> list[EndedBeam]:
    """The beams of a request: the search by itself over the definition of the toy model."""
    assert request.beam is not None
    ending = frozenset((*request.end_token_ids, *request.stop_token_ids))
    search = BeamSearch(request.beam, ends_at(ending), request.max_tokens)
    while not search.is_done:
        contexts = [(*request.prompt_token_ids, *(t.token_id for t in beam.tokens)) for beam in search.running]
        search.advance([candidates_in(state_after(context), WIDTH) for context in contexts])
    return search.ended


def whole_of(request: GenerationRequest, sample: int) -> tuple[int, ...]:
    """The tokens of a sample, or of the beam of that rank; none where there are not so many beams."""
    if request.beam is None or not request.max_tokens:
        return expected(request, sample)
    return tuple(token.token_id for beam in expected_beams(request)[sample : sample + 1] for token in beam.tokens)
