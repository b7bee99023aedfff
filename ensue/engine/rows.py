"""What the scheduler's side and the tensor side of the engine say to each other about rows of logits; torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ensue.engine.history import History, LogitRules
from ensue.outputs import TokenLogprobs
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


@dataclass(frozen=True, slots=True)
class Candidates:
    """The likeliest tokens to follow one row, as columns: likeliest first, on ties the lowest id, none that is banned.

    `logprobs` are of the processed logits; what follows is of the raw ones, and empty unless asked for.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    raw_logprobs: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    top_ids: tuple[int, ...] = ()  # of the row, so the same for all
    top_logprobs: tuple[float, ...] = ()
    is_finite: bool = True  # False: the row held a NaN or +inf

    def token(self, place: int) -> SampledToken:
        """One of them, as if it had been drawn."""
        token_id = self.token_ids[place]
        if not self.raw_logprobs:
            return SampledToken(token_id)
        return SampledToken(token_id, self.raw_logprobs[place], self.ranks[place], self.top_ids, self.top_logprobs)


def columns_of(tokens: Sequence[SampledToken]) -> TokenLogprobs:
    """The raw log-probabilities of a run of tokens."""
    return TokenLogprobs(
        tuple(token.logprob for token in tokens),
        tuple(token.rank for token in tokens),
        tuple(token.top_ids for token in tokens),
        tuple(token.top_logprobs for token in tokens),
    )
