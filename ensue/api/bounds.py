"""How much one request may ask for: its values against the server's limits, in one table that is described, too."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensue.api.bodies import GenerationBody
from ensue.api.fields import Schema
from ensue.config import LimitsConfig
from ensue.errors import InvalidRequest
from ensue.guided.constraint import compact_json

MIN_BEAM_WIDTH = 2


@dataclass(frozen=True, slots=True)
class Bound:
    """What the server leaves of what a field's kind allows."""

    high: int | None = None  # of a number
    entries: int | None = None  # of a list or an object, at most
    least: int = 0  # entries
    spares_ids: bool = False  # a list of token ids may have more
    chars: tuple[int, int] | None = None  # of a text, or of each in a list

    def check_entries(self, name: str, value: Any) -> None:
        """Raises InvalidRequest for more of them; the value may be any."""
        if self.entries is None or not isinstance(value, list | dict) or len(value) <= self.entries:
            return
        if not (self.spares_ids and isinstance(value, list) and isinstance(value[0], int | float)):
            raise InvalidRequest(f"{name} may have at most {self.entries} entries.", param=name)

    def check(self, name: str, value: Any) -> None:
        """Raises InvalidRequest for a parsed value with a number or a text beyond."""
        if self.high is not None and not isinstance(value, bool) and value > self.high:
            raise InvalidRequest(f"{name} must be at most {self.high}.", param=name)
        if self.chars is not None and isinstance(value, str):
            _check_length(name, value, *self.chars)
        elif self.chars is not None:
            for index, text in enumerate(value):
                _check_length(f"{name}[{index}]", text, *self.chars)

    def narrowed(self, schema: Schema) -> Schema:
        """The schema of a kind, and this."""
        match schema:
            case {"anyOf": choices}:
                return schema | {"anyOf": [self.narrowed(choice) for choice in choices]}
            case {"type": "integer"} if self.high is not None:
                return schema | {"maximum": self.high}
            case {"type": "string"} if self.chars is not None:
                return schema | {"minLength": self.chars[0], "maxLength": self.chars[1]}
            case {"type": "object"} if self.entries is not None:
                return schema | {"maxProperties": self.entries}
            case {"type": "array", "items": items} if not (self.spares_ids and items["type"] == "integer"):
                least = {"minItems": self.least} if self.least else {}
                most = {} if self.entries is None else {"maxItems": self.entries}
                return schema | least | most | {"items": items if self.chars is None else self.narrowed(items)}
        return schema


@functools.lru_cache(maxsize=8)
def bounds(limits: LimitsConfig) -> Mapping[str, Bound]:
    """By field, in the order in which they are checked."""
    return {
        "n": Bound(high=limits.max_n),
        "best_of": Bound(high=max(limits.max_best_of, limits.max_n)),
        "logprobs": Bound(high=limits.max_logprobs),
        "top_logprobs": Bound(high=limits.max_logprobs),
        "prompt_logprobs": Bound(high=limits.max_logprobs),
        "stop": Bound(entries=limits.max_stop_strings, chars=(1, limits.max_stop_length)),
        # That there is one, SamplingParams checks of the first, and Constraint of the second.
        "allowed_token_ids": Bound(entries=limits.max_allowed_token_ids, least=1),
        "guided_choice": Bound(least=1),
        "stop_token_ids": Bound(entries=limits.max_stop_token_ids),
        "bad_words": Bound(entries=limits.max_bad_words, chars=(1, limits.max_bad_word_length)),
        "logit_bias": Bound(entries=limits.max_logit_bias),
        "messages": Bound(entries=limits.max_messages),
        "tools": Bound(entries=limits.max_tools),
        "tokens": Bound(entries=limits.max_detokenize_tokens),
        "prompt": Bound(entries=limits.max_prompts, spares_ids=True),
        "user": Bound(chars=(0, limits.max_user_length)),
        "cache_salt": Bound(chars=(1, limits.max_cache_salt_length)),
    }


def check_counts(value: Mapping[str, Any], limits: LimitsConfig) -> None:
    """Bound lists and maps of a body before time is spent on their items.

    Raises:
        InvalidRequest: with the field in `param`.
    """
    for name, bound in bounds(limits).items():
        if name in value:
            bound.check_entries(name, value[name])
    if isinstance(value.get("tools"), list) and len(compact_json(value["tools"])) > limits.max_tools_bytes:
        raise InvalidRequest(f"tools may have at most {limits.max_tools_bytes} bytes.", param="tools")


def check_bounds(body: GenerationBody, num_prompts: int, limits: LimitsConfig) -> None:
    """
    Raises:
        InvalidRequest: with the field in `param`.
    """
    _check_best_of(body, limits)
    for name, bound in bounds(limits).items():
        value = getattr(body, name, None)
        if value is not None:
            bound.check(name, value)
    _check_sequences(body, num_prompts, limits)
    if num_prompts * len(body.allowed_token_ids or ()) > limits.max_allowed_token_ids:  # each prompt takes a copy
        most = f"must be at most {limits.max_allowed_token_ids}"
        raise InvalidRequest(f"Prompts times entries of allowed_token_ids {most}.", param="allowed_token_ids")


def num_sequences(body: GenerationBody) -> int:
    """Sequences that grow from one prompt: samples, or beams."""
    width = body.n if body.best_of is None else body.best_of
    return max(width, MIN_BEAM_WIDTH) if body.use_beam_search else width


def _check_best_of(body: GenerationBody, limits: LimitsConfig) -> None:
    if body.best_of is None or body.n > limits.max_n:
        return
    if body.best_of < body.n:
        raise InvalidRequest("best_of must be at least n.", param="best_of")
    if body.best_of > max(limits.max_best_of, body.n):
        raise InvalidRequest(f"best_of must be at most {max(limits.max_best_of, body.n)}.", param="best_of")


def _check_sequences(body: GenerationBody, num_prompts: int, limits: LimitsConfig) -> None:
    if num_prompts * num_sequences(body) > limits.max_sequences:
        name = "n" if body.best_of is None else "best_of"
        raise InvalidRequest(f"Prompts times {name} must be at most {limits.max_sequences}.", param=name)


def _check_length(path: str, text: str, low: int, high: int) -> None:
    if not low <= len(text) <= high:
        raise InvalidRequest(f"{path} must have {low} to {high} characters.", param=path)
