"""What the service is asked for: checked values, without HTTP words; nothing is encoded yet."""

from __future__ import annotations

from typing import Literal

import msgspec

from ensue.guided.tool_grammar import ToolUse
from ensue.request import BeamParams
from ensue.sampling_params import SamplingParams
from ensue.service.conversation import Conversation
from ensue.service.guided import Guided

DEFAULT_MAX_TOKENS = 16

Prompt = str | tuple[int, ...]  # a text, or token ids that are taken as they are


class CompletionRequest(msgspec.Struct, frozen=True):  # so many fields take a dataclass thirty times as long
    """A completion of each prompt: the best `n` of `num_samples`."""

    request_id: str
    prompts: tuple[Prompt | Conversation, ...]
    is_list: bool = False  # the prompts came as a list: errors name `prompt[1]`
    # ---- the prompt
    suffix: str | None = None  # the text after the gap that the completion fills
    truncate_prompt_tokens: int | None = None  # keep the last so many, or the first
    truncation_side: Literal["left", "right"] = "left"
    add_special_tokens: bool = True
    # ---- how much, how many
    max_tokens: int | None = None  # None: the default, or what the context leaves
    default_max_tokens: int | None = DEFAULT_MAX_TOKENS  # None: what the context leaves
    min_tokens: int = 0
    n: int = 1
    best_of: int | None = None  # None: n
    beam: BeamParams | None = None  # its width is at least n
    # ---- choosing tokens
    sampling: SamplingParams = msgspec.field(default_factory=SamplingParams)  # without bad words: they are texts yet
    bad_words: tuple[str, ...] = ()
    seed: int | None = None  # None: a fresh one for each prompt
    guided: Guided | None = None  # what the text must satisfy
    tools: ToolUse | None = None  # what the text may call; None: it is just text
    # ---- ends
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    include_stop_str_in_output: bool = False
    # ---- what is returned
    echo: bool = False
    logprobs: int | None = None
    lists_tokens: bool = False  # log-probabilities as one list of tokens, as chats have them
    prompt_logprobs: int | None = None
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False  # log-probabilities name tokens `token_id:7`
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True  # only without skip_special_tokens
    # ---- order of service
    priority: int = 0  # lower first
    fair_share_key: str = ""  # whose share of the engine it takes: a key's id
    cache_salt: bytes = b""  # only requests with equal salts share cached prompts
    deadline: float | None = None  # time.time() seconds

    @property
    def num_samples(self) -> int:
        """Sequences that grow from each prompt; of beams, those that are returned."""
        return self.n if self.best_of is None or self.beam is not None else self.best_of

    @property
    def is_ranked(self) -> bool:
        """Whether the best n of more samples are asked for."""
        return self.beam is None and self.num_samples > self.n

    @property
    def is_told_whole(self) -> bool:
        """Whether choices are known only when all samples have ended."""
        return self.beam is not None or self.is_ranked

    @property
    def scores_prompt(self) -> bool:
        """Whether log-probabilities of the prompt's own tokens are wanted in `logprobs`."""
        return self.echo and self.logprobs is not None

    @property
    def num_logprobs(self) -> int | None:
        """What the engine must tell of each generated token; ranking needs the token's own number."""
        return 0 if self.logprobs is None and self.is_ranked else self.logprobs

    @property
    def num_prompt_logprobs(self) -> int | None:
        """What the engine must tell of each prompt token: the larger of the two needs."""
        needs = [self.prompt_logprobs, self.logprobs if self.scores_prompt else None]
        return max((need for need in needs if need is not None), default=None)
