"""What the service is asked for: checked values, without HTTP words; nothing is encoded yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from ensue.sampling_params import SamplingParams

DEFAULT_MAX_TOKENS = 16

Prompt = str | tuple[int, ...]  # a text, or token ids that are taken as they are


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A completion of each prompt, `n` times."""

    request_id: str
    prompts: tuple[Prompt, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None  # None: DEFAULT_MAX_TOKENS, or what the context leaves
    n: int = 1
    seed: int | None = None  # None: a fresh one for each prompt
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    echo: bool = False
    is_list: bool = False  # the prompts came as a list: errors name `prompt[1]`
    deadline: float | None = None  # time.time() seconds

    @property
    def wants_prompt_logprobs(self) -> bool:
        return self.echo and self.logprobs is not None
