"""The native engine over a tiny random checkpoint, as the worker builds it, and requests for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ensue.build.worker import build_engine
from ensue.config import Config, EngineConfig
from ensue.engine.llm_engine import LLMEngine
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams

A = (0, 1)  # the handle of the request that a test looks at


def engine_of(
    folder: Path, *, num_blocks: int = 40, budget: int = 64, path: str = "fp32_packed", dtype: str = "float32"
) -> LLMEngine:
    """Over the checkpoint of `tests.model.checkpoints.Case("llama")`, whose blocks are counted here."""
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


def request(
    number: int = 0,
    *,
    length: int = 70,
    max_tokens: int = 70,
    num_samples: int = 2,
    num_prompt_logprobs: int | None = 1,
    **sampling: Any,
) -> GenerationRequest:
    return GenerationRequest(
        request_id=str(number),
        prompt_token_ids=prompt_of(number, length),
        sampling=SamplingParams(**{"temperature": 0.9, "top_p": 0.95, **sampling}),
        seed=number,
        max_tokens=max_tokens,
        num_samples=num_samples,
        num_logprobs=3,
        num_prompt_logprobs=num_prompt_logprobs,
    )
