"""Tokens that a grammar leaves no choice of ride on the next step: the same texts and numbers in fewer steps."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.engine.guide import Guide
from ensue.engine.llm_engine import MAX_FORCED, LLMEngine, QueueLimits
from ensue.engine.rows import SampledToken
from ensue.engine.sequence import Sequence
from ensue.errors import InvalidGrammar
from ensue.guided.backend import PROVER, Matcher
from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.outputs import FinishReason, TokenOutput
from ensue.request import BeamParams, GenerationRequest
from ensue.sampling_params import SamplingParams
from tests.engine.test_guided_engine import Failing, guided
from tests.engine.tiny_engine import engine_of
from tests.engine.toy import END, STOP, VOCABULARY, make_engine, make_request, run_to_end
from tests.guided.test_regex import random_regex
from tests.model.checkpoints import Case, make

pytestmark = pytest.mark.usefixtures("one_thread")

BACKEND = LlguidanceBackend(VOCABULARY, PROVER)
A, B = (1, 1), (1, 2)
Outputs = dict[tuple[tuple[int, int], int], TokenOutput]


def letter(character: str) -> int:
    return VOCABULARY.tokens.index(character.encode())


def matcher_of(constraint: Constraint | str) -> Matcher:
    constraint = Constraint("regex", constraint) if isinstance(constraint, str) else constraint
    return BACKEND.load(BACKEND.compile(constraint))


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"enum": ["one", "two", "three"]}, "is_long_enough": {"type": "boolean"}},
    "required": ["name", "is_long_enough"],
    "additionalProperties": False,
}
CONSTRAINTS = {
    "schema": Constraint("json", json.dumps(SCHEMA)),
    "choice": Constraint.of_choices(("alpha", "alphabet", "beta", "b")),
    "text": Constraint("regex", "(foo|bar) said: [0-9]{2}, over and out"),
    "run": Constraint("regex", "(a{40}|b)(c{5}d)*"),
    "grammar": Constraint("grammar", 'start: "x" start "yyy" | "zzz" "."?'),
}
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "samples": {"num_samples": 3},
    "logprobs": {"num_logprobs": 2, "num_samples": 2},
    "scored": {"num_logprobs": 0, "num_prompt_logprobs": 1},
    "short": {"max_tokens": 7},
    "short logprobs": {"max_tokens": 7, "num_logprobs": 1},
    "long": {"min_tokens": 30},
    "no ends": {"end_token_ids": ()},
    "no ends, logprobs": {"end_token_ids": (), "num_logprobs": 1},
    "stop tokens": {"stop_token_ids": (STOP, letter("o"), letter("c"))},
    "early stop tokens": {"stop_token_ids": (letter("o"), letter("c")), "min_tokens": 3},
    "resumed": {"resumed_token_ids": (letter("b"),)},
    "beams": {"beam": BeamParams(2), "num_samples": 2, "sampling": SamplingParams()},
    "penalties": {"sampling": SamplingParams(temperature=0.8, repetition_penalty=1.4, presence_penalty=1.5)},
    "bias": {"sampling": SamplingParams(logit_bias=((letter("c"), 50.0), (letter("b"), -30.0)))},
    "banned": {"sampling": SamplingParams(logit_bias=((letter("a"), -100.0), (letter("y"), -100.0)))},
    "allowed": {"sampling": SamplingParams(allowed_token_ids=tuple(map(letter, "abcxz{")))},
    "bad words": {"sampling": SamplingParams(bad_words_token_ids=((letter("o"),), (letter("c"), letter("c"))))},
    "greedy": {"sampling": SamplingParams(temperature=0.0)},
}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[LLMEngine, LLMEngine]:
    """One that lets tokens ride, and one that takes them singly."""
    folder: Path = tmp_path_factory.mktemp("llama")
    make(folder, Case("llama"))
    engine = engine_of(folder, num_blocks=60)
    return engine, LLMEngine(engine._runner, engine.info, 64, QueueLimits(100, 10_000), max_forced=0)


def run(engine: LLMEngine, request: GenerationRequest, matcher: Matcher) -> tuple[list[Any], int]:
    """What is told of all samples and of the prompt, and how many steps it took."""
    num_steps = engine.stats().num_steps
    engine.add(A, request, matcher)
    return facts(run_to_end(engine)), engine.stats().num_steps - num_steps


def facts(outputs: Outputs) -> list[Any]:
    return [
        (key, o.token_ids, o.logprobs, o.finish_reason, o.stop_token_id, o.error_code, o.is_complete, o.beam_score)
        for key, o in sorted(outputs.items())
    ]


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_same_bits_come_in_no_more_steps(
    engines: tuple[LLMEngine, LLMEngine], name: str, request_name: str
) -> None:
    more, num_steps = REQUESTS[request_name], [0, 0]
    for seed in range(3):
        request = guided(seed=seed, **{"max_tokens": 60, **more})
        if request.resumed_token_ids and name in ("schema", "grammar"):
            continue  # no text begins so
        found = [run(engine, request, matcher_of(CONSTRAINTS[name])) for engine in engines]
        assert found[0][0] == found[1][0]
        num_steps = [total + steps for total, (_, steps) in zip(num_steps, found, strict=True)]
    assert num_steps[0] <= num_steps[1]


@pytest.mark.parametrize(("num_logprobs", "num_steps"), [(None, 3), (1, 4)])
def test_forced_tokens_take_no_step_of_their_own(num_logprobs: int | None, num_steps: int) -> None:
    """Up to MAX_FORCED ride on each that is chosen; what must be told with the last takes one more step."""
    engine = make_engine(budget=64)
    found, steps = run(
        engine, guided(num_logprobs=num_logprobs, max_tokens=60), matcher_of(f"a{{{3 * (MAX_FORCED + 1)}}}")
    )
    assert (len(found[0][1]), found[0][3], found[0][6]) == (27, FinishReason.STOP, True)
    assert steps == num_steps
    assert engine.stats().num_forced_tokens == 3 * MAX_FORCED
    assert engine.stats().num_generation_tokens == 27


@given(seed=st.integers(0, 10_000), num_blocks=st.integers(16, 40), budget=st.integers(4, 40), num=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_crowded_engines_give_the_same_tokens(seed: int, num_blocks: int, budget: int, num: int) -> None:
    noise = random.Random(seed)
    engine, alone = make_engine(num_blocks, budget=budget), make_engine(64, max_forced=0, has_prefix_cache=False)
    wanted: Outputs = {}
    for number in range(num):
        regex = noise.choice([random_regex(noise), "(ab|cd){3,9}e{20}", "a{9}[xy]b{9}", "[ab]c{30}"])
        request = guided(
            seed=number,
            num_samples=noise.randint(1, 3),
            max_tokens=noise.randint(1, 45),
            num_logprobs=noise.choice([None, 1]),
            cache_salt=b"" if noise.random() < 0.8 else b"salt",
        )
        try:
            matcher = matcher_of(regex)
        except InvalidGrammar:
            continue
        engine.add((1, number), request, matcher.fork())
        alone.add((1, number), request, matcher)
        wanted |= run_to_end(alone)
    outputs = run_to_end(engine)
    assert {key: tokens_of(o) for key, o in outputs.items()} == {key: tokens_of(o) for key, o in wanted.items()}
    assert engine.stats().num_used_blocks == 0


def tokens_of(output: TokenOutput) -> tuple[Any, ...]:
    num_told = None if output.logprobs is None else len(output.logprobs.chosen)
    return output.token_ids, num_told, output.finish_reason, output.is_complete


@pytest.mark.parametrize("budget", [2, 3, 5])
def test_a_sequence_with_forced_tokens_keeps_its_place_beside_a_long_prompt(budget: int) -> None:
    engine = make_engine(80, budget=budget, max_num_seqs=2, max_model_len=300)
    engine.add(A, guided(max_tokens=60, num_logprobs=0), matcher_of("a{50}"))
    while not engine.stats().num_forced_tokens:
        engine.step()
    engine.add(B, make_request([1] * 250, max_tokens=1, priority=-1))
    news = [output for _ in range(50) for _, output in engine.step()]
    assert (news[-1].sample_index, news[-1].finish_reason) == (0, FinishReason.STOP)
    assert engine.stats().num_running == 1  # the prompt is not through yet


@pytest.mark.parametrize("num_logprobs", [None, 0])
@pytest.mark.parametrize("num_good", [0, 1, 3])
def test_a_matcher_that_fails_at_a_forced_token_ends_its_text_alone(num_good: int, num_logprobs: int | None) -> None:
    engine = make_engine()
    engine.add(A, guided(num_logprobs=num_logprobs), Failing(matcher_of("[ab]c{9}"), num_good))
    engine.add(B, guided(), matcher_of("[ab]c{9}"))
    outputs = run_to_end(engine)
    assert (outputs[A, 0].finish_reason, outputs[A, 0].error_code) == (FinishReason.ERROR, "grammar_failed")
    assert len(outputs[A, 0].token_ids) == (num_good if num_logprobs is None else min(num_good, 1))
    assert outputs[B, 0].finish_reason is FinishReason.STOP
    assert engine.stats().num_used_blocks == 0


def test_ends_are_chosen_not_forced() -> None:
    engine = make_engine()
    found, _ = run(engine, guided(stop_token_ids=(letter("b"),), end_token_ids=()), matcher_of("ab*"))
    assert (found[0][1], found[0][4]) == ((letter("a"), letter("b")), letter("b"))
    assert END not in found[0][1]
    assert engine.stats().num_forced_tokens == 0


def test_positions_whose_rows_score_held_tokens_are_not_skipped() -> None:
    request = guided(num_logprobs=0, num_prompt_logprobs=0)  # of three tokens
    sequence = Sequence(A, request, 0, 0, 0.0, guide=Guide.of(matcher_of("abcd"), request))
    assert (sequence.to_score, sequence.num_skippable) == (range(1, 3), 0)
    sequence.next_to_score = 3
    sequence.append(SampledToken(letter("a")), 64)
    assert (list(sequence.to_score), sequence.num_skippable) == ([], 3)
    sequence.hold(letter("b"))
    sequence.hold(letter("c"))
    assert (sequence.to_score, sequence.num_skippable) == (range(4, 6), 3)
