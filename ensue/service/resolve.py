"""Words to numbers: everything that an engine must know of a request, made concrete for each prompt."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ensue.errors import InvalidRequest
from ensue.outputs import EngineInfo
from ensue.request import CompiledGrammar, GenerationRequest
from ensue.sampling_params import SamplingParams
from ensue.service.bad_words import bad_words_token_ids
from ensue.service.prompt import EncodedPrompt, context_length, encode_prompts, out_of_vocabulary
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer

SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request without words; prompts and generations in the order of the request."""

    prompts: Sequence[EncodedPrompt]
    generations: Sequence[GenerationRequest]
    stop_names: Mapping[int, str]  # the stop string that each stop token stands for, where it is one


def resolve(
    request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo, grammar: CompiledGrammar | None = None
) -> Resolved:
    """Encode and check everything. Takes time, so it belongs off the event loop.

    Args:
        grammar: the request's constraint, proved.

    Raises:
        InvalidRequest: whatever can be refused once the model is known.
    """
    return Resolver(request, tokenizer, info, grammar).resolve()


class Resolver:
    """Resolves one request."""

    def __init__(
        self, request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo, grammar: CompiledGrammar | None
    ) -> None:
        self._request = request
        self._grammar = grammar
        self._tokenizer = tokenizer
        self._info = info

    def resolve(self) -> Resolved:
        for index, token_id in enumerate(self._request.stop_token_ids):
            self._check_id(token_id, f"stop_token_ids[{index}]")
        sampling = self._sampling()
        prompts = encode_prompts(self._request, self._tokenizer, self._info)
        names = self._stop_names()
        generations = [self._generation(i, prompt, sampling, names) for i, prompt in enumerate(prompts)]
        return Resolved(prompts, generations, names)

    def _generation(
        self, number: int, prompt: EncodedPrompt, sampling: SamplingParams, names: Mapping[int, str]
    ) -> GenerationRequest:
        """A given seed holds for all prompts, so that equal ones have equal answers."""
        request = self._request
        return GenerationRequest(
            request_id=f"{request.request_id}-{number}",
            prompt_token_ids=prompt.token_ids,
            sampling=sampling,
            seed=secrets.randbits(SEED_BITS) if request.seed is None else request.seed,
            max_tokens=self._max_tokens(prompt),
            min_tokens=request.min_tokens,
            num_samples=request.num_samples,
            end_token_ids=self._end_token_ids(prompt),
            stop_token_ids=tuple(dict.fromkeys((*request.stop_token_ids, *names))),
            num_logprobs=request.num_logprobs,
            num_prompt_logprobs=request.num_prompt_logprobs,
            beam=request.beam,
            grammar=self._grammar,
            priority=request.priority,
            fair_share_key=request.fair_share_key,
            cache_salt=request.cache_salt,
            deadline=request.deadline,
        )

    # ---- ends

    def _max_tokens(self, prompt: EncodedPrompt) -> int:
        request = self._request
        left = context_length(self._info) - len(prompt.token_ids)
        default = left if request.default_max_tokens is None else min(request.default_max_tokens, left)
        max_tokens = default if request.max_tokens is None else request.max_tokens
        if request.min_tokens > max_tokens:
            raise InvalidRequest(f"min_tokens must be at most max_tokens, {max_tokens}.", param="min_tokens")
        return max_tokens

    def _end_token_ids(self, prompt: EncodedPrompt) -> tuple[int, ...]:
        eos = self._tokenizer.eos_token_id
        of_model = {*self._info.end_token_ids, *(() if eos is None else (eos,))}
        of_gap = set(prompt.end_token_ids)
        ends = of_gap - of_model if self._request.ignore_eos else of_gap | of_model
        return tuple(sorted(filter(self._has_logit, ends)))

    def _stop_names(self) -> dict[int, str]:
        """Stop strings that are exactly one special token's text: such a token is a stop, and the string its reason."""
        ids = ((stop, self._tokenizer.token_id(stop)) for stop in self._request.stop)
        special = self._tokenizer.special_token_ids
        return {id_: stop for stop, id_ in ids if id_ is not None and id_ in special and self._has_logit(id_)}

    # ---- choosing tokens

    def _sampling(self) -> SamplingParams:
        """
        Raises:
            InvalidRequest: an id out of range, or a word that cannot be encoded.
        """
        sampling, width = self._request.sampling, self._info.logits_width
        for index, token_id in enumerate(sampling.allowed_token_ids or ()):
            self._check_id(token_id, f"allowed_token_ids[{index}]")
        for token_id, _ in sampling.logit_bias:
            self._check_id(token_id, f"logit_bias.{token_id}")
        words = bad_words_token_ids(self._request.bad_words, self._tokenizer)
        return replace(
            sampling,
            top_k=None if sampling.top_k is None or sampling.top_k >= width else sampling.top_k,
            bad_words_token_ids=tuple(ids for ids in words if all(map(self._has_logit, ids))),
        )

    def _check_id(self, token_id: int, path: str) -> None:
        if not self._has_logit(token_id):
            raise out_of_vocabulary(path, self._info.logits_width)

    def _has_logit(self, token_id: int) -> bool:
        return 0 <= token_id < self._info.logits_width
