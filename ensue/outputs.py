"""What crosses the seam upwards, and the words for what was used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import TypeVar

T = TypeVar("T")


class FinishReason(Enum):
    """Why a sample ended."""

    STOP = "stop"  # an end token, a stop token, or a stop string found by the service
    LENGTH = "length"  # max_tokens or the context
    ABORT = "abort"  # cancelled from above
    ERROR = "error"  # failed in the engine; error_code says how


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Log-softmax of the raw logits for a run of tokens, as columns of equal length.

    `top_ids[i]` has the k likeliest ids by (logprob descending, id ascending), without regard to the chosen one.
    """

    chosen: tuple[float, ...]
    rank: tuple[int, ...]  # 1 is the likeliest; ties count as one plus the strictly larger and the equal, lower ids
    top_ids: tuple[tuple[int, ...], ...]
    top_logprobs: tuple[tuple[float, ...], ...]

    @classmethod
    def joined(cls, runs: Sequence[TokenLogprobs]) -> TokenLogprobs:
        """Runs that follow one another as one."""
        return cls(
            _joined(run.chosen for run in runs),
            _joined(run.rank for run in runs),
            _joined(run.top_ids for run in runs),
            _joined(run.top_logprobs for run in runs),
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """Sent with the last output of a sample, and with the first of a request; durations in seconds."""

    queue_s: float
    prefill_s: float
    num_preemptions: int = 0
    num_drafted: int = 0
    num_accepted: int = 0


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """News of one sample (or of the prompt): 0…many tokens, and at the end the reason.

    A prompt slice has `sample_index` −1 (`PROMPT`) and covers positions [prompt_start, prompt_start + len(token_ids));
    the first slice starts at 1, as position 0 has no logprob.

    `error_code` says how a sample failed, and it is `no_token_left` where one ended with `length` because its bans
    and masks left no token to choose: that is no failure, and what was generated stands.
    """

    sample_index: int
    token_ids: tuple[int, ...] = ()
    logprobs: TokenLogprobs | None = None
    prompt_start: int | None = None
    finish_reason: FinishReason | None = None
    stop_token_id: int | None = None
    error_code: str | None = None
    beam_score: float | None = None
    is_complete: bool = False  # finish `stop`: nothing can follow the text, and no end token stands in token_ids
    num_cached_tokens: int | None = None  # once, when first scheduled
    timings: Timings | None = None

    def merge(self, *later: TokenOutput) -> TokenOutput:
        """Concatenate outputs of the same sample, or neighbouring prompt slices, in time linear in their tokens."""
        if not later:
            return self
        outputs, last = (self, *later), later[-1]
        columns = [output.logprobs for output in outputs if output.logprobs is not None]
        return TokenOutput(
            sample_index=self.sample_index,
            token_ids=_joined(output.token_ids for output in outputs),
            logprobs=TokenLogprobs.joined(columns) if columns else None,
            prompt_start=_first(output.prompt_start for output in outputs),
            finish_reason=last.finish_reason,
            stop_token_id=last.stop_token_id,
            error_code=last.error_code,
            beam_score=last.beam_score,
            is_complete=last.is_complete,
            num_cached_tokens=_first(output.num_cached_tokens for output in outputs),
            timings=_first(output.timings for output in reversed(outputs)),
        )


def _joined(parts: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(chain.from_iterable(parts))


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


PROMPT = -1  # the sample_index of a prompt slice


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the start-up self-test found about the linear layers."""

    path: str  # bf16_packed, fp32_packed, …: see model/linear
    row_independent: bool
    min_rows: int  # rows are padded to this count
    row_block: int | None  # set where no count was found: every call has exactly this many rows
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself once its model is loaded."""

    max_model_len: int
    max_request_tokens: int  # most tokens of KV cache that one request can hold
    logits_width: int
    end_token_ids: tuple[int, ...]  # from config.json and generation_config.json
    block_size: int
    max_num_seqs: int
    num_blocks: int  # capacity in tokens: num_blocks × block_size
    fingerprint: str
    row_independent: bool
    self_test: SelfTest | None = None
    unsupported: tuple[str, ...] = ()  # request fields that this engine cannot serve
    dtype: str = ""
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters and gauges of an engine, sent with each step."""

    num_running: int = 0
    num_waiting: int = 0
    num_used_blocks: int = 0
    num_blocks: int = 0
    num_steps: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0  # computed so far, recomputation included
    num_generation_tokens: int = 0
    num_forced_tokens: int = 0  # of these, those that a constraint left no choice of
    last_step_age_s: float = 0.0  # time since the last finished step while there is work; 0 when idle


@dataclass(frozen=True, slots=True)
class Usage:
    """What is billed for one request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )
