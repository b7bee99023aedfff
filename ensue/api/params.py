"""Request bodies to a CompletionRequest: which fields may stand together, and defaults. Knows no prompt's tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from ensue.api.bodies import Body, ChatBody, CompletionBody, ConversationFields, GenerationBody
from ensue.api.bounds import check_bounds, check_counts, num_sequences
from ensue.api.fields import is_set, parse_body
from ensue.api.guided import guided_by_tools, guided_of, with_answer
from ensue.api.key_bounds import check_key_bounds, default_max_tokens, priority_of
from ensue.api.names import Policy, judge_names, refuse_unsupported
from ensue.api.tools import tool_use
from ensue.config import LimitsConfig
from ensue.errors import InvalidRequest
from ensue.request import BeamParams
from ensue.rights import KeyRights
from ensue.sampling_params import SamplingParams
from ensue.served_models import ServedModel
from ensue.service.conversation import Conversation
from ensue.service.request import DEFAULT_MAX_TOKENS, CompletionRequest

B = TypeVar("B", bound=Body)

BY_DEFAULT_THE_MODELS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
NOT_WITH_BEAMS = ("top_p", "top_k", "min_p")
FOR_BEAMS_ONLY = ("length_penalty", "early_stopping")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as it matters for what is done."""

    key_id: str = ""  # none where nobody needs a key
    rights: KeyRights | None = None


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream shows usage."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


def read_body(body: type[B], value: Any, unknown: Policy, limits: LimitsConfig) -> tuple[B, list[str]]:
    """Check names, counts and types; the second result is a warning for each unknown name, where those are not refused.

    Raises:
        InvalidRequest: the first thing that is wrong.
    """
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    warnings = judge_names(body, value, unknown)
    check_counts(value, limits)
    return parse_body(body, value), warnings


def completion_request(
    body: CompletionBody, model: ServedModel, caller: Caller, *, request_id: str, deadline: float | None = None
) -> CompletionRequest:
    """Check limits and combinations, and fill in defaults.

    Raises:
        InvalidRequest, PermissionDenied: with the field in `param`.
    """
    if body.prompt is None:
        raise InvalidRequest("prompt is required.", param="prompt")
    check_bounds(body, len(body.prompt.prompts), model.limits)
    check_key_bounds(body, _max_tokens(body), caller.rights)
    max_tokens = _max_tokens(body)
    if max_tokens == 0 and not body.echo:
        raise InvalidRequest("max_tokens must be at least 1 without echo.", param="max_tokens")
    return replace(
        _common(body, model, caller),
        request_id=request_id,
        prompts=body.prompt.prompts,
        is_list=body.prompt.is_list,
        suffix=body.suffix or None,
        add_special_tokens=body.add_special_tokens,
        max_tokens=None if max_tokens == DEFAULT_MAX_TOKENS else max_tokens,
        default_max_tokens=default_max_tokens(DEFAULT_MAX_TOKENS, caller.rights),
        echo=body.echo,
        logprobs=body.logprobs,
        deadline=deadline,
    )


def chat_request(
    body: ChatBody, model: ServedModel, caller: Caller, *, request_id: str, deadline: float | None = None
) -> CompletionRequest:
    """The same for a chat: its prompt is a conversation, and the context its only bound.

    Raises:
        InvalidRequest, PermissionDenied: with the field in `param`.
    """
    prompt = conversation(body, model)
    check_bounds(body, 1, model.limits)
    check_key_bounds(body, _max_tokens(body), caller.rights)
    if is_set(body, "top_logprobs") and not body.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true.", param="top_logprobs")
    common = _common(body, model, caller)
    use = tool_use(body.tools, body.tool_choice, model, is_parallel=body.parallel_tool_calls)
    use = use and with_answer(use, common.guided)
    return replace(
        common,
        request_id=request_id,
        prompts=(prompt,),
        tools=use,
        guided=common.guided if use is None else guided_by_tools(body, use, common.guided, model),
        add_special_tokens=body.add_special_tokens,
        max_tokens=_max_tokens(body),
        default_max_tokens=default_max_tokens(None, caller.rights),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        lists_tokens=True,
        deadline=deadline,
    )


def conversation(body: ConversationFields, model: ServedModel) -> Conversation:
    """
    Raises:
        InvalidRequest: no messages, or no template for them.
    """
    if body.messages is None:
        raise InvalidRequest("messages is required.", param="messages")
    if model.chat_template is None:
        how = "start the server with --chat-template FILE"
        raise InvalidRequest(f"This model has no chat template, so it takes no messages: {how}.", param="messages")
    return Conversation(
        template=model.chat_template,
        messages=body.messages,
        tools=body.tools,
        add_generation_prompt=body.add_generation_prompt and not body.continue_final_message,
        continue_final_message=body.continue_final_message,
        variables=body.chat_template_kwargs or {},
    )


def _common(body: GenerationBody, model: ServedModel, caller: Caller) -> CompletionRequest:
    """What completions and chats have in common; prompts are the caller's to add."""
    _check_combinations(body)
    beam = _beam(body, model.sampling_defaults)
    sampling = _sampling(body, model.sampling_defaults)
    refuse_unsupported(body, model.engine.info.unsupported)
    return CompletionRequest(
        request_id="",
        prompts=(),
        truncate_prompt_tokens=body.truncate_prompt_tokens,
        truncation_side=body.truncation_side,
        min_tokens=body.min_tokens,
        n=body.n,
        best_of=body.best_of,
        beam=beam,
        sampling=sampling,
        bad_words=tuple(dict.fromkeys(body.bad_words)),
        seed=None if body.seed == -1 else body.seed,
        guided=guided_of(body),
        stop=tuple(dict.fromkeys(body.stop)),
        stop_token_ids=body.stop_token_ids,
        ignore_eos=body.ignore_eos,
        include_stop_str_in_output=body.include_stop_str_in_output,
        prompt_logprobs=body.prompt_logprobs,
        return_token_ids=body.return_token_ids,
        return_tokens_as_token_ids=body.return_tokens_as_token_ids,
        skip_special_tokens=body.skip_special_tokens,
        spaces_between_special_tokens=body.spaces_between_special_tokens,
        priority=priority_of(body, caller.rights),
        fair_share_key=caller.key_id,
        cache_salt=_cache_salt(caller, body.cache_salt),
    )


def stream_options(body: GenerationBody) -> StreamOptions:
    names = body.stream_options or ()
    is_told = "include_usage" in names
    return StreamOptions(is_told, is_told and "continuous_usage_stats" in names)


def _max_tokens(body: CompletionBody | ChatBody) -> int | None:
    """The value asked for, under either name; of both the smaller, for either is a limit."""
    asked = (body.max_tokens, body.max_completion_tokens)
    return min((value for value in asked if value is not None), default=None)


def _check_combinations(body: GenerationBody) -> None:
    if body.stream_options is not None and not body.stream:
        raise InvalidRequest("stream_options is for streams: set stream to true.", param="stream_options")
    if is_set(body, "truncation_side") and body.truncate_prompt_tokens is None:
        raise InvalidRequest("truncation_side needs truncate_prompt_tokens.", param="truncation_side")
    if body.stream and not body.use_beam_search and num_sequences(body) > body.n:
        raise InvalidRequest("best_of must be n in a stream: only the end shows which are the best.", param="best_of")
    for name in FOR_BEAMS_ONLY:
        if not body.use_beam_search and is_set(body, name):
            raise InvalidRequest(f"{name} is for beam search: set use_beam_search to true.", param=name)


def _beam(body: GenerationBody, defaults: Mapping[str, float | int]) -> BeamParams | None:
    if not body.use_beam_search:
        return None
    if body.best_of == 1:
        raise InvalidRequest("best_of must be at least 2 with use_beam_search: it is the width.", param="best_of")
    if is_set(body, "temperature") and body.temperature not in (0, defaults.get("temperature")):
        raise InvalidRequest("temperature must be 0 or absent with use_beam_search.", param="temperature")
    for name in NOT_WITH_BEAMS:
        if is_set(body, name) and getattr(body, name) != defaults.get(name):
            raise InvalidRequest(f"{name} is for sampling: use_beam_search takes none.", param=name)
    return BeamParams(num_sequences(body), body.length_penalty, body.early_stopping)


def _sampling(body: GenerationBody, defaults: Mapping[str, float | int]) -> SamplingParams:
    """Values of the body, else of the model, else of SamplingParams."""
    given = {name: value for name in BY_DEFAULT_THE_MODELS if (value := getattr(body, name)) is not None}
    chosen: dict[str, Any] = {**defaults, **given}
    if chosen.get("top_k") in (0, -1):
        del chosen["top_k"]
    allowed = body.allowed_token_ids
    return SamplingParams(
        allowed_token_ids=None if allowed is None else tuple(dict.fromkeys(allowed)),
        logit_bias=body.logit_bias,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        **chosen,
    )


def _cache_salt(caller: Caller, salt: str | None) -> bytes:
    """Keys never share cached prompts, whatever salts they send."""
    if not caller.key_id and salt is None:
        return b""
    return hashlib.sha256(f"{caller.key_id}\0{salt or ''}".encode()).digest()
