"""How much one request may ask for: its values against the server's limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensue.api.bodies import GenerationBody
from ensue.config import LimitsConfig
from ensue.errors import InvalidRequest
from ensue.guided.constraint import compact_json

MIN_BEAM_WIDTH = 2


def check_counts(value: Mapping[str, Any], limits: LimitsConfig) -> None:
    """Bound lists and maps of a body before time is spent on their items.

    Raises:
        InvalidRequest: with the field in `param`.
    """
    bounds = {
        "stop": limits.max_stop_strings,
        "stop_token_ids": limits.max_stop_token_ids,
        "bad_words": limits.max_bad_words,
        "logit_bias": limits.max_logit_bias,
        "messages": limits.max_messages,
        "tools": limits.max_tools,
        "tokens": limits.max_detokenize_tokens,
    }
    for name, limit in bounds.items():
        if isinstance(value.get(name), list | dict) and len(value[name]) > limit:
            raise InvalidRequest(f"{name} may have at most {limit} entries.", param=name)
    if isinstance(value.get("tools"), list) and len(compact_json(value["tools"])) > limits.max_tools_bytes:
        raise InvalidRequest(f"tools may have at most {limits.max_tools_bytes} bytes.", param="tools")
    match value.get("prompt"):
        case [str() | list(), *_] as prompts if len(prompts) > limits.max_prompts:
            raise InvalidRequest(f"A request may have at most {limits.max_prompts} prompts.", param="prompt")


def check_bounds(body: GenerationBody, num_prompts: int, limits: LimitsConfig) -> None:
    """
    Raises:
        InvalidRequest: with the field in `param`.
    """
    _check_numbers(body, limits)
    _check_sequences(body, num_prompts, limits)
    _check_lengths("stop", body.stop, limits.max_stop_length)
    _check_lengths("bad_words", body.bad_words, limits.max_bad_word_length)
    _check_length("user", body.user, 0, limits.max_user_length)
    _check_length("cache_salt", body.cache_salt, 1, limits.max_cache_salt_length)


def num_sequences(body: GenerationBody) -> int:
    """Sequences that grow from one prompt: samples, or beams."""
    width = body.n if body.best_of is None else body.best_of
    return max(width, MIN_BEAM_WIDTH) if body.use_beam_search else width


def _check_numbers(body: GenerationBody, limits: LimitsConfig) -> None:
    best_of = body.n if body.best_of is None else body.best_of
    bounds = {
        "n": (body.n, limits.max_n),
        "best_of": (best_of, max(limits.max_best_of, body.n)),
        body.top_field: (getattr(body, body.top_field), limits.max_logprobs),
        "prompt_logprobs": (body.prompt_logprobs, limits.max_logprobs),
    }
    for name, (value, limit) in bounds.items():
        if value is not None and value > limit:
            raise InvalidRequest(f"{name} must be at most {limit}.", param=name)
    if best_of < body.n:
        raise InvalidRequest("best_of must be at least n.", param="best_of")


def _check_sequences(body: GenerationBody, num_prompts: int, limits: LimitsConfig) -> None:
    if num_prompts * num_sequences(body) > limits.max_sequences:
        name = "n" if body.best_of is None else "best_of"
        raise InvalidRequest(f"Prompts times {name} must be at most {limits.max_sequences}.", param=name)


def _check_lengths(name: str, texts: Sequence[str], limit: int) -> None:
    for index, text in enumerate(texts):
        _check_length(f"{name}[{index}]", text, 1, limit)


def _check_length(path: str, text: str | None, low: int, high: int) -> None:
    if text is not None and not low <= len(text) <= high:
        raise InvalidRequest(f"{path} must have {low} to {high} characters.", param=path)
