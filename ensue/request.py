"""What crosses the seam downwards: ids and numbers only, everything resolved by the layers above."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ensue.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class BeamParams:
    """Beam search: score = sum of logprobs / generated length ^ length_penalty."""

    width: int
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False


@dataclass(frozen=True, slots=True)
class CompiledGrammar:
    """A proven constraint, ready to be loaded by a worker."""

    backend: str
    payload: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt and how to go on from it.

    Intervals, with P = len(prompt_token_ids) and R = len(resumed_token_ids):
    [0, P) prompt · [P, P + R) already generated elsewhere · [P + R, P + max_tokens) to generate.
    """

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams
    seed: int  # always concrete; the noise is Philox(key = seed, counter = (sample index, position, purpose))
    max_tokens: int  # 0: score the prompt only
    min_tokens: int = 0
    num_samples: int = 1
    first_sample_index: int = 0  # a split request keeps its noise
    end_token_ids: tuple[int, ...] = ()  # finish `stop`, stop_token_id None; empty with ignore_eos
    stop_token_ids: tuple[int, ...] = ()  # finish `stop`, stop_token_id the id
    num_logprobs: int | None = None  # None: none wanted; 0: the chosen token's only
    num_prompt_logprobs: int | None = None
    beam: BeamParams | None = None
    grammar: CompiledGrammar | None = None
    resumed_token_ids: tuple[int, ...] = ()  # one sample only
    priority: int = 0  # lower first
    fair_share_key: str = ""
    fair_share_weight: float = 1.0
    cache_salt: bytes = b""
    trace_id: str | None = None
    deadline: float | None = field(default=None)  # time.time() seconds, comparable across processes
