"""What the scheduler's side and the tensor side of the engine say to each other about rows of logits; torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from ensue.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class SampleRow:
    """How to choose the token at `position` from one row of logits."""

    sampling: SamplingParams
    seed: int
    sample_index: int
    position: int  # absolute position of the token to be chosen
    num_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One chosen token; logprob, rank and the top columns are of the raw logits and empty unless asked for."""

    token_id: int
    logprob: float = 0.0
    rank: int = 0
    top_ids: tuple[int, ...] = ()
    top_logprobs: tuple[float, ...] = ()
    is_finite: bool = True  # False: the row held a NaN or +inf, the sequence must end with an error
