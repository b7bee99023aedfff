"""What the scheduler's side and the tensor side of the engine say to each other about rows of logits; torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from ensue.engine.history import History, LogitRules
from ensue.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class SampleRow:
    """How to choose the token at `position` from one row of logits."""

    sampling: SamplingParams
    seed: int
    sample_index: int
    position: int  # absolute position of the token to be chosen
    num_logprobs: int | None = None
    num_candidates: int = 0  # beam search: the so many likeliest by the log-softmax of the processed logits, no draw
    rules: LogitRules | None = None
    banned_ids: tuple[int, ...] = ()  # they would complete a bad word
    masked_ids: tuple[int, ...] = ()  # end and stop tokens, before min_tokens
    history: History | None = None
    guide_mask: bytes | None = None  # step 1: bit (id mod 8) of byte (id div 8); None: any token may stand

    @property
    def changes_logits(self) -> bool:
        """True where one of steps 1 to 6 has work to do."""
        return bool(self.rules or self.masked_ids or self.guide_mask is not None)


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One chosen token; logprob, rank and the top columns are of the raw logits and empty unless asked for."""

    token_id: int
    logprob: float = 0.0
    rank: int = 0
    top_ids: tuple[int, ...] = ()
    top_logprobs: tuple[float, ...] = ()
    has_token: bool = True  # False: the masks left none, the sequence must end
    is_finite: bool = True  # False: the row held a NaN or +inf, the sequence must end with an error
