"""Words to numbers: everything that an engine must know of a request, made concrete for each prompt."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ensue.errors import InvalidRequest
from ensue.outputs import EngineInfo
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams
from ensue.served_models import ServedModel
from ensue.service.prompt import EncodedPrompt, context_length
from ensue.service.request import DEFAULT_MAX_TOKENS, CompletionRequest
from ensue.text.tokenizer import Tokenizer

SEED_BITS = 63


def stop_names(request: CompletionRequest, tokenizer: Tokenizer) -> dict[int, str]:
    """Stop strings that are exactly one special token's text: such a token is a stop, and the string its reason."""
    ids = {stop: tokenizer.token_id(stop) for stop in request.stop}
    return {id_: stop for stop, id_ in ids.items() if id_ is not None and id_ in tokenizer.special_token_ids}


def generation_requests(
    request: CompletionRequest,
    prompts: Sequence[EncodedPrompt],
    model: ServedModel,
    info: EngineInfo,
    names: Mapping[int, str],
) -> Iterator[GenerationRequest]:
    """One for each prompt. A given seed holds for all of them, so that equal prompts have equal answers.

    Raises:
        InvalidRequest: a stop token out of range.
    """
    _check_stop_ids(request.stop_token_ids, info.logits_width)
    for number, prompt in enumerate(prompts):
        yield GenerationRequest(
            request_id=f"{request.request_id}-{number}",
            prompt_token_ids=prompt.token_ids,
            sampling=_clamped(request.sampling, info.logits_width),
            seed=secrets.randbits(SEED_BITS) if request.seed is None else request.seed,
            max_tokens=_max_tokens(request, prompt, info),
            num_samples=request.n,
            end_token_ids=() if request.ignore_eos else _end_token_ids(info, model.tokenizer),
            stop_token_ids=tuple(dict.fromkeys((*request.stop_token_ids, *names))),
            num_logprobs=request.logprobs,
            num_prompt_logprobs=request.logprobs if request.echo else None,
            deadline=request.deadline,
        )


def _max_tokens(request: CompletionRequest, prompt: EncodedPrompt, info: EngineInfo) -> int:
    if request.max_tokens is not None:
        return request.max_tokens
    return min(DEFAULT_MAX_TOKENS, context_length(info) - len(prompt.token_ids))


def _end_token_ids(info: EngineInfo, tokenizer: Tokenizer) -> tuple[int, ...]:
    eos = tokenizer.eos_token_id
    return tuple(sorted({*info.end_token_ids, *(() if eos is None else (eos,))}))


def _clamped(sampling: SamplingParams, width: int) -> SamplingParams:
    if sampling.top_k is None or sampling.top_k < width:
        return sampling
    return replace(sampling, top_k=None)


def _check_stop_ids(token_ids: Sequence[int], width: int) -> None:
    for index, token_id in enumerate(token_ids):
        if not 0 <= token_id < width:
            raise InvalidRequest(f"Token ids must be from 0 to {width - 1}.", param=f"stop_token_ids[{index}]")
