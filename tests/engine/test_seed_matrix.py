"""Seeds are a promise: one request, the same bits in every situation, on every linear path and dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ensue.engine.llm_engine import LLMEngine
from ensue.outputs import PROMPT, TokenOutput
from ensue.request import BeamParams, GenerationRequest
from tests.engine.tiny_engine import A, engine_of, request
from tests.engine.toy import run_to_end
from tests.model.checkpoints import Case, make

pytestmark = pytest.mark.usefixtures("one_thread")

PATHS = (
    ("bf16_packed", "bfloat16"),
    ("fp32_packed", "float32"),
    ("plain", "float32"),
    ("plain", "bfloat16"),
)
PENALISED: dict[str, Any] = {
    "top_k": 40,
    "min_p": 0.01,
    "repetition_penalty": 1.2,
    "frequency_penalty": 0.3,
    "presence_penalty": -0.2,
    "logit_bias": ((7, 3.0), (9, -100.0)),
    "bad_words_token_ids": ((11,), (12, 13)),
}
REQUESTS = {
    "scored": request(),
    "penalised": request(num_prompt_logprobs=None, **PENALISED),
    "greedy": request(num_prompt_logprobs=None, num_samples=1, temperature=0.0),
    "beams": replace(
        request(num_prompt_logprobs=None, repetition_penalty=1.2), beam=BeamParams(3, early_stopping="never")
    ),
}
Facts = list[Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    make(folder, Case("llama"))
    return folder


@cache
def alone(folder: Path, path: str, dtype: str, name: str) -> Facts:
    engine = engine_of(folder, path=path, dtype=dtype)
    engine.add(A, REQUESTS[name])
    return facts(run_to_end(engine))


def facts(outputs: dict[tuple[tuple[int, int], int], TokenOutput]) -> Facts:
    """Tokens and every number of A's samples and prompt, to be compared bit by bit."""
    return [(i, o.token_ids, o.logprobs, o.beam_score) for (handle, i), o in sorted(outputs.items()) if handle == A]


def in_company(engine: LLMEngine, asked: GenerationRequest) -> None:
    """Among 32 others: other lengths, sample counts, settings, log-probabilities."""
    for number in range(1, 33):
        sampling: dict[str, Any] = ({}, {"temperature": 0.0}, PENALISED, {"top_p": 0.5})[number % 4]
        other = request(number, length=3 * number, max_tokens=5 + number % 20, num_samples=1 + number % 3, **sampling)
        scores = None if number % 2 else other.num_prompt_logprobs
        engine.add((0, 100 + number), replace(other, num_prompt_logprobs=scores))
        if number == 16:
            engine.add(A, asked)


def after_a_hit(engine: LLMEngine, asked: GenerationRequest) -> None:
    engine.add((0, 2), replace(asked, seed=99, num_samples=1, num_prompt_logprobs=None))
    run_to_end(engine)
    engine.add(A, asked)


def by_itself(engine: LLMEngine, asked: GenerationRequest) -> None:
    engine.add(A, asked)


Situation = tuple[Callable[[LLMEngine, GenerationRequest], None], dict[str, int]]
SITUATIONS: dict[str, Situation] = {
    "in small chunks": (by_itself, {"budget": 16}),
    "in company": (in_company, {"num_blocks": 120}),
    "preempted": (in_company, {"num_blocks": 5}),
    "after a prefix hit": (after_a_hit, {}),
}


@pytest.mark.parametrize(("path", "dtype"), PATHS)
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_seeded_request_gives_the_same_bits(folder: Path, situation: str, name: str, path: str, dtype: str) -> None:
    add, options = SITUATIONS[situation]
    engine = engine_of(folder, path=path, dtype=dtype, **options)
    add(engine, REQUESTS[name])
    outputs = run_to_end(engine)
    assert facts(outputs) == alone(folder, path, dtype, name)
    if situation == "preempted":
        assert any(o.timings and o.timings.num_preemptions for (handle, _), o in outputs.items() if handle == A)
    if situation == "after a prefix hit":
        assert outputs[A, 0].num_cached_tokens == (0 if (A, PROMPT) in outputs else 64)
