"""The whole engine over a real, tiny model: transformers' greedy tokens, and the same bits however the work is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ensue.build.worker import build_engine
from ensue.config import Config, EngineConfig
from ensue.engine.llm_engine import LLMEngine
from ensue.outputs import PROMPT, TokenOutput
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams
from tests.engine.toy import run_to_end
from tests.model.checkpoints import Case, make

pytestmark = pytest.mark.usefixtures("one_thread")

A = (0, 1)
PATHS = {"bf16_packed": "bfloat16", "fp32_packed": "float32", "plain": "float32"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("llama")
    return folder, make(folder, Case("llama"))


def engine_of(folder: Path, *, num_blocks: int = 40, budget: int = 64, path: str = "fp32_packed") -> LLMEngine:
    dtype = PATHS[path]
    block_bytes = 2 * 3 * 2 * 16 * 64 * (2 if dtype == "bfloat16" else 4)  # k and v, layers, kv heads, dimensions
    config = EngineConfig(
        dtype=dtype,  # type: ignore[arg-type]
        linear_path=path,  # type: ignore[arg-type]
        max_num_seqs=16,
        threads=1,
        max_num_batched_tokens=budget,
        kv_cache_memory=num_blocks * block_bytes,
    )
    return build_engine(folder, Config(engine=config), lambda phase, fraction: None)


def prompt_of(number: int, length: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(number).integers(2, 300, length).tolist())


def request(number: int = 0, *, length: int = 70, max_tokens: int = 70, **sampling: Any) -> GenerationRequest:
    return GenerationRequest(
        request_id=str(number),
        prompt_token_ids=prompt_of(number, length),
        sampling=SamplingParams(**{"temperature": 0.9, "top_p": 0.95, **sampling}),
        seed=number,
        max_tokens=max_tokens,
        num_samples=2,
        num_logprobs=3,
        num_prompt_logprobs=1,
    )


def facts(outputs: dict[tuple[tuple[int, int], int], TokenOutput]) -> list[Any]:
    """Tokens and every logprob of both samples and of the prompt, to be compared bit by bit."""
    return [(outputs[A, i].token_ids, outputs[A, i].logprobs) for i in (PROMPT, 0, 1)]


def test_greedy_tokens_are_those_of_transformers(checkpoint: tuple[Path, Any]) -> None:
    folder, model = checkpoint
    engine = engine_of(folder)
    asked = request(temperature=0.0, top_p=1.0)
    engine.add(A, asked)
    tokens = run_to_end(engine)[A, 0].token_ids
    ids = torch.tensor([asked.prompt_token_ids])
    expected = model.generate(ids, max_new_tokens=70, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert list(tokens) == expected[0, 70:].tolist()


def test_penalised_tokens_are_those_of_transformers(checkpoint: tuple[Path, Any]) -> None:
    """Repetition penalty, bad words (the second stands in the plain text, the third ends the prompt) and min_tokens."""
    folder, model = checkpoint
    plain = request(temperature=0.0, top_p=1.0)
    ids = torch.tensor([plain.prompt_token_ids])
    how: dict[str, Any] = {"do_sample": False, "max_new_tokens": 70, "pad_token_id": 0, "repetition_penalty": 1.3}
    first = model.generate(ids, **how, eos_token_id=None)[0].tolist()
    words = ((5,), tuple(first[80:82]), (*first[68:70], first[70]))
    end = first[74]
    expected = model.generate(ids, **how, bad_words_ids=[list(w) for w in words], eos_token_id=end, min_new_tokens=60)
    sampling = replace(plain.sampling, repetition_penalty=1.3, bad_words_token_ids=words)
    engine = engine_of(folder, num_blocks=4)
    engine.add(A, replace(plain, sampling=sampling, end_token_ids=(end,), min_tokens=60))
    outputs = run_to_end(engine)
    assert [list(outputs[A, i].token_ids) for i in range(2)] == [expected[0, 70:].tolist()] * 2
    assert expected[0].tolist() != first
    assert engine.stats().num_preemptions > 0  # two samples, room for one


def test_logprobs_are_those_of_transformers(checkpoint: tuple[Path, Any]) -> None:
    folder, model = checkpoint
    engine = engine_of(folder)
    engine.add(A, request())
    outputs = run_to_end(engine)
    ids = torch.tensor([[*request().prompt_token_ids, *outputs[A, 1].token_ids]])
    with torch.inference_mode():
        logprobs = model(ids).logits[0].log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    scored, sampled = outputs[A, PROMPT].logprobs, outputs[A, 1].logprobs
    assert scored is not None
    assert sampled is not None
    assert (torch.tensor([*scored.chosen, *sampled.chosen]) - logprobs).abs().max() < 1e-4


@pytest.mark.parametrize("path", PATHS)
def test_a_seeded_request_gives_the_same_bits_however_the_work_is_cut(checkpoint: tuple[Path, Any], path: str) -> None:
    folder, _ = checkpoint
    alone = engine_of(folder, path=path)
    alone.add(A, request())
    expected = facts(run_to_end(alone))
    small_steps = engine_of(folder, path=path, budget=16)
    small_steps.add(A, request())
    assert facts(run_to_end(small_steps)) == expected
    crowded = engine_of(folder, path=path, num_blocks=9)
    for number in range(1, 9):
        crowded.add((0, 100 + number), request(number, length=10 * number, max_tokens=30))
    crowded.add(A, request())
    for number in range(9, 12):
        crowded.add((0, 100 + number), request(number, length=5 * number, max_tokens=40))
    assert facts(run_to_end(crowded)) == expected
    assert crowded.stats().num_preemptions > 0
