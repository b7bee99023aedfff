"""The step loop under any sequence of add, step, stop, abort, with too few blocks: right tokens, no block leaked, none
found that holds something else than its tokens."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ensue.outputs import PROMPT, FinishReason, TokenOutput
from ensue.request import BeamParams, GenerationRequest
from tests.engine.toy import BLOCK_SIZE, ToyRunner, make_engine, make_request, state_after, whole_of

Key = tuple[int, int]
BEAMS = st.none() | st.builds(BeamParams, st.integers(1, 6), early_stopping=st.sampled_from([True, False, "never"]))


class Engine(RuleBasedStateMachine):
    """Requests over a small cache; the tokens of the toy model tell whether the block tables were right."""

    @initialize(num_blocks=st.integers(8, 20), max_num_seqs=st.integers(1, 4), budget=st.integers(1, 9))
    def begin(self, num_blocks: int, max_num_seqs: int, budget: int) -> None:
        self.runner = ToyRunner(num_blocks)
        self.engine = make_engine(
            num_blocks, max_num_seqs=max_num_seqs, budget=budget, max_model_len=24, runner=self.runner
        )
        self.requests: dict[int, GenerationRequest] = {}
        self.expected: dict[Key, tuple[int, ...]] = {}
        self.outputs: dict[Key, TokenOutput] = {}
        self.aborted: set[int] = set()
        self.stopped: set[Key] = set()

    @rule(
        prompt=st.lists(st.integers(0, 5), min_size=1, max_size=14),
        max_tokens=st.integers(0, 10),
        num_samples=st.integers(1, 4),
        scores=st.booleans(),
        beam=BEAMS,
        salt=st.sampled_from([b"", b"salt"]),
        share=st.sampled_from([("", 1.0), ("heavy", 2.5), ("light", 0.5)]),
        priority=st.integers(-1, 1),
    )
    def add(
        self,
        prompt: list[int],
        max_tokens: int,
        num_samples: int,
        scores: bool,
        beam: BeamParams | None,
        salt: bytes,
        share: tuple[str, float],
        priority: int,
    ) -> None:
        number = len(self.requests)
        request = make_request(
            prompt,
            max_tokens=max_tokens,
            num_samples=num_samples if beam is None else min(num_samples, beam.width),
            seed=number,
            num_prompt_logprobs=0 if scores else None,
            end_token_ids=(3, 50, 70),
            beam=beam,
            cache_salt=salt,
            fair_share_key=share[0],
            fair_share_weight=share[1],
            priority=priority,
        )
        self.engine.add((0, number), request)
        self.requests[number] = request
        self.expected |= {(number, sample): whole_of(request, sample) for sample in range(request.num_samples)}

    @rule(num_steps=st.integers(1, 8))
    def step(self, num_steps: int) -> None:
        for _ in range(num_steps):
            for (_, number), output in self.engine.step():
                assert number not in self.aborted
                key = (number, output.sample_index)
                earlier = self.outputs.get(key)
                assert earlier is None or earlier.finish_reason is None
                self.outputs[key] = output if earlier is None else earlier.merge(output)

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 100), sample=st.integers(0, 3))
    def stop(self, which: int, sample: int) -> None:
        number = which % len(self.requests)
        self.stopped.add((number, sample))
        self.engine.stop((0, number), sample)

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 100), sample=st.integers(0, 3))
    def poison(self, which: int, sample: int) -> None:
        """From now on this sample's rows are not finite."""
        number = which % len(self.requests)
        self.runner.poisoned.add(((0, number), sample))

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 100))
    def abort(self, which: int) -> None:
        number = which % len(self.requests)
        self.aborted.add(number)
        self.engine.abort((0, number))

    @invariant()
    def tokens_are_those_of_the_model(self) -> None:
        for (number, sample), output in getattr(self, "outputs", {}).items():
            if sample != PROMPT:
                assert output.token_ids == self.expected[number, sample][: len(output.token_ids)]

    @invariant()
    def owned_blocks_are_those_in_tables(self) -> None:
        if not hasattr(self, "engine"):
            return
        scheduler = self.engine._scheduler
        tables = [s.block_table for s in scheduler.running + scheduler.waiting + scheduler.paused]
        owned = [block for table in tables for block in table]
        blocks = scheduler.blocks
        assert all(blocks.num_owners(block) == owned.count(block) for block in range(blocks.num_blocks))
        for sequence in scheduler.running:
            assert len(sequence.block_table) * BLOCK_SIZE >= sequence.num_computed

    @invariant()
    def requests_with_different_salts_share_no_block(self) -> None:
        if not hasattr(self, "engine"):
            return
        salts: dict[int, bytes] = {}
        scheduler = self.engine._scheduler
        for sequence in scheduler.running + scheduler.waiting:
            for block in sequence.block_table:
                assert salts.setdefault(block, sequence.request.cache_salt) == sequence.request.cache_salt

    @invariant()
    def blocks_found_hold_the_tokens_looked_for(self) -> None:
        for (number, sample), output in getattr(self, "outputs", {}).items():
            if sample == PROMPT:
                continue
            request = self.requests[number]
            token_ids = (*request.prompt_token_ids, *output.token_ids)
            prefixes = self.engine._scheduler.blocks.prefixes
            hashes = prefixes.chain(token_ids, request.cache_salt, len(token_ids) // BLOCK_SIZE)
            for index, block in enumerate(prefixes.find(hashes), start=1):
                assert self.runner.memory[block][-1] == state_after(token_ids[: index * BLOCK_SIZE])

    @invariant()
    def slots_are_not_exceeded_and_a_group_never_waits_for_itself(self) -> None:
        if not hasattr(self, "engine"):
            return
        scheduler = self.engine._scheduler
        assert len(scheduler.running) <= scheduler._max_num_seqs
        unfinished = {sequence.handle for sequence in scheduler.running + scheduler.waiting}
        assert {sequence.handle for sequence in scheduler.paused} <= unfinished

    def teardown(self) -> None:
        """All comes to an end, completely, and gives everything back."""
        if not hasattr(self, "engine"):
            return
        for _ in range(4000):
            if not self.engine.has_work:
                break
            self.step(1)
        assert not self.engine.has_work
        assert self.engine.stats().num_used_blocks == 0
        for number, request in self.requests.items():
            if number not in self.aborted:
                self.check_whole(number, request)

    def check_whole(self, number: int, request: GenerationRequest) -> None:
        for sample in range(request.num_samples):
            output = self.outputs[number, sample]
            if (number, sample) in self.stopped and output.finish_reason is FinishReason.ABORT:
                continue
            if output.finish_reason is FinishReason.ERROR:
                assert any(handle == (0, number) for handle, _ in self.runner.poisoned)
                continue
            assert output.token_ids == self.expected[number, sample]
        scored = self.outputs.get((number, PROMPT))
        is_whole = any(
            self.outputs[number, i].finish_reason not in (FinishReason.ABORT, FinishReason.ERROR)
            for i in range(request.num_samples)
        )
        if request.num_prompt_logprobs is not None and len(request.prompt_token_ids) > 1 and is_whole:
            assert scored is not None
            assert scored.token_ids == request.prompt_token_ids[1:]


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
