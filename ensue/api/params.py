"""A request body to a CompletionRequest: names, limits and combinations of fields. Knows no prompt's tokens."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ensue.api.fields import parse_body
from ensue.api.protocol import INSTEAD, STREAM_OPTIONS, UNSERVED, WITHOUT_EFFECT, CompletionBody, Prompts
from ensue.config import LimitsConfig
from ensue.errors import InvalidRequest, UnknownParameter, UnsupportedParameter, shown
from ensue.sampling_params import SamplingParams
from ensue.served_models import ServedModel
from ensue.service.request import DEFAULT_MAX_TOKENS, CompletionRequest

SERVED = frozenset(f.name for f in fields(CompletionBody))
KNOWN = SERVED | UNSERVED.keys() | {"best_of", *WITHOUT_EFFECT}
MAX_WARNINGS = 8
Policy = Literal["refuse", "warn"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream shows usage."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


def read_body(value: Any, unknown: Policy) -> tuple[CompletionBody, list[str]]:
    """Check names and types; the second result is a warning for each unknown name, where those are not refused.

    Raises:
        InvalidRequest: the first thing that is wrong.
    """
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    warnings = _judge_names(value, KNOWN, "", unknown)
    if isinstance(value.get("stream_options"), dict):
        warnings += _judge_names(value["stream_options"], STREAM_OPTIONS, "stream_options.", unknown)
    _refuse_unserved(value)
    body = parse_body(CompletionBody, value)
    _refuse_best_of(value, body)
    return body, warnings


def _judge_names(value: Mapping[str, Any], known: Collection[str], prefix: str, unknown: Policy) -> list[str]:
    names = [name for name in value if name not in known]
    if names and unknown == "refuse":
        near = difflib.get_close_matches(names[0][:64], known, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        name = shown(prefix + names[0])
        raise UnknownParameter(f"Unknown parameter `{name}`.{hint}", param=name)
    return [f"Unknown parameter `{shown(prefix + name)}` was ignored." for name in names[:MAX_WARNINGS]]


def _refuse_unserved(value: Mapping[str, Any]) -> None:
    for name, neutral in UNSERVED.items():
        if value.get(name) is not None and not _asks_for_nothing(value[name], neutral):
            raise _unsupported(name)


def _asks_for_nothing(value: Any, neutral: tuple[Any, ...]) -> bool:
    """Whether a value is one of the neutral ones; 1 and true are different values here."""
    return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in neutral)


def _unsupported(name: str) -> UnsupportedParameter:
    hint = f": {INSTEAD[name]}" if name in INSTEAD else ""
    return UnsupportedParameter(f"This server does not support {name}{hint}.", param=name)


def _refuse_best_of(value: Mapping[str, Any], body: CompletionBody) -> None:
    """Its default is n."""
    best_of = value.get("best_of")
    if best_of is not None and not _asks_for_nothing(best_of, (body.n,)):
        raise _unsupported("best_of")


def to_request(
    body: CompletionBody, model: ServedModel, *, request_id: str, deadline: float | None = None
) -> CompletionRequest:
    """Check limits and combinations, and fill in defaults.

    Raises:
        InvalidRequest: with the field in `param`.
    """
    limits = model.limits
    prompts = _prompts(body, limits)
    _check_limits(body, limits)
    max_tokens = _max_tokens(body)
    _check_combinations(body, max_tokens)
    return CompletionRequest(
        request_id=request_id,
        prompts=prompts.prompts,
        is_list=prompts.is_list,
        sampling=_sampling(body, model.sampling_defaults),
        max_tokens=max_tokens,
        n=body.n,
        seed=None if body.seed == -1 else body.seed,
        stop=tuple(dict.fromkeys(body.stop)),
        stop_token_ids=body.stop_token_ids,
        ignore_eos=body.ignore_eos,
        logprobs=body.logprobs,
        echo=body.echo,
        deadline=deadline,
    )


def stream_options(body: CompletionBody) -> StreamOptions:
    names = body.stream_options
    return StreamOptions("include_usage" in names, "continuous_usage_stats" in names)


def _prompts(body: CompletionBody, limits: LimitsConfig) -> Prompts:
    if body.prompt is None:
        raise InvalidRequest("prompt is required.", param="prompt")
    num_prompts = len(body.prompt.prompts)
    if num_prompts > limits.max_prompts:
        raise InvalidRequest(f"A request may have at most {limits.max_prompts} prompts.", param="prompt")
    if num_prompts * body.n > limits.max_sequences:
        raise InvalidRequest(f"Prompts times n must be at most {limits.max_sequences}.", param="n")
    return body.prompt


def _check_limits(body: CompletionBody, limits: LimitsConfig) -> None:
    if body.n > limits.max_n:
        raise InvalidRequest(f"n must be at most {limits.max_n}.", param="n")
    if body.logprobs is not None and body.logprobs > limits.max_logprobs:
        raise InvalidRequest(f"logprobs must be at most {limits.max_logprobs}.", param="logprobs")
    if len(body.stop) > limits.max_stop_strings:
        raise InvalidRequest(f"stop may have at most {limits.max_stop_strings} texts.", param="stop")
    if any(not 0 < len(stop) <= limits.max_stop_length for stop in body.stop):
        raise InvalidRequest(f"A stop text must have 1 to {limits.max_stop_length} characters.", param="stop")
    if len(body.stop_token_ids) > limits.max_stop_token_ids:
        raise InvalidRequest(f"stop_token_ids may have at most {limits.max_stop_token_ids}.", param="stop_token_ids")
    if body.user is not None and len(body.user) > limits.max_user_length:
        raise InvalidRequest(f"user must be at most {limits.max_user_length} characters long.", param="user")


def _max_tokens(body: CompletionBody) -> int | None:
    """The value asked for; None where it is the default, which may shrink."""
    first, second = body.max_tokens, body.max_completion_tokens
    if first is not None and second is not None and first != second:
        raise InvalidRequest("max_tokens and max_completion_tokens contradict each other.", param="max_tokens")
    max_tokens = second if first is None else first
    return None if max_tokens == DEFAULT_MAX_TOKENS else max_tokens


def _check_combinations(body: CompletionBody, max_tokens: int | None) -> None:
    if max_tokens == 0 and not body.echo:
        raise InvalidRequest("max_tokens must be at least 1 without echo.", param="max_tokens")
    if body.stream_options and not body.stream:
        raise InvalidRequest("stream_options is for streams: set stream to true.", param="stream_options")


def _sampling(body: CompletionBody, defaults: Mapping[str, float | int]) -> SamplingParams:
    """Values of the body, else of the model, else of SamplingParams."""
    names = ("temperature", "top_p", "top_k", "min_p")
    given = {name: value for name in names if (value := getattr(body, name)) is not None}
    chosen: dict[str, Any] = {**defaults, **given}
    if chosen.get("top_k") in (0, -1):
        del chosen["top_k"]
    return SamplingParams(**chosen)
