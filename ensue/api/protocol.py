"""What goes over the wire: the fields of a completion request and the objects of an answer.

Validation and OpenAPI both come from here. Which fields may be combined, and the server's limits, are params.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ensue.api.fields import (
    Boolean,
    Flags,
    Integer,
    ListOf,
    Number,
    OneOrMore,
    Schema,
    Text,
    as_int,
    param,
)
from ensue.errors import InvalidRequest
from ensue.service.choice import StopReason
from ensue.service.logprobs import Logprobs
from ensue.service.request import DEFAULT_MAX_TOKENS, Prompt

STREAM_OPTIONS = ("include_usage", "continuous_usage_stats", "include_obfuscation")  # the last has no effect


@dataclass(frozen=True, slots=True)
class Prompts:
    """The four forms of `prompt`."""

    prompts: tuple[Prompt, ...]
    is_list: bool = True  # of prompts, that is: not one text or one list of ids


class PromptKind:
    """str · list[str] · list[int] · list[list[int]]."""

    schema: Schema = {  # noqa: RUF012 - read only
        "anyOf": [
            Text().schema,
            ListOf(Text()).schema,
            ListOf(Integer(low=0)).schema,
            ListOf(ListOf(Integer(low=0))).schema,
        ]
    }

    def parse(self, value: Any, path: str) -> Prompts:
        match value:
            case str():
                return Prompts((value,), is_list=False)
            case [str(), *_]:
                return Prompts(tuple(_text(item, f"{path}[{i}]") for i, item in enumerate(value)))
            case [list(), *_]:
                return Prompts(tuple(_ids(item, f"{path}[{i}]") for i, item in enumerate(value)))
            case [int() | float(), *_] if not isinstance(value[0], bool):
                return Prompts((_ids(value, path),), is_list=False)
            case []:
                raise InvalidRequest("prompt must not be an empty list.", param=path)
        raise InvalidRequest(
            "prompt must be a text, a list of texts, a list of token ids, or a list of lists of token ids.", param=path
        )


PROMPT = PromptKind()


def _text(item: Any, path: str) -> str:
    if not isinstance(item, str):
        raise InvalidRequest("prompt must have items of one kind: all of them texts.", param=path)
    return item


def _ids(items: Any, path: str) -> tuple[int, ...]:
    if not isinstance(items, list):
        raise InvalidRequest("prompt must have items of one kind: all of them lists of token ids.", param=path)
    if not items:
        raise InvalidRequest("A list of token ids must not be empty.", param=path)
    if set(map(type, items)) == {int}:  # a long prompt's usual case, checked at once
        return tuple(items)
    return tuple(_id(item, f"{path}[{i}]") for i, item in enumerate(items))


def _id(item: Any, path: str) -> int:
    token_id = as_int(item)
    if token_id is None:
        raise InvalidRequest("Token ids must be whole numbers.", param=path)
    return token_id


@dataclass(frozen=True, slots=True)
class CompletionBody:
    """POST /v1/completions."""

    prompt: Prompts | None = param(  # noqa: RUF009 - makes a field
        PROMPT, None, "Text, texts, token ids, or lists of them; required"
    )
    model: str | None = param(Text(), None, "A served name or alias; default: the served model")
    max_tokens: int | None = param(
        Integer(low=0), None, f"Tokens generated at most; default {DEFAULT_MAX_TOKENS}, less where the context ends"
    )
    max_completion_tokens: int | None = param(Integer(low=0), None, "Another name of max_tokens")
    temperature: float | None = param(Number(0, 2), None, "Default 1; 0 takes the likeliest token")
    top_p: float | None = param(Number(0, 1), None, "Default 1; the smallest set of tokens with this mass")
    top_k: int | None = param(Integer(low=-1), None, "The k likeliest tokens; 0 and -1 are off, the default")
    min_p: float | None = param(Number(0, 1), None, "Default 0; drops tokens below this share of the likeliest")
    seed: int | None = param(Integer(), None, "Equal requests with equal seeds have equal answers; -1 is none")
    stop: tuple[str, ...] = param(OneOrMore(Text()), (), "Texts before which the completion is cut")
    stop_token_ids: tuple[int, ...] = param(ListOf(Integer()), (), "Tokens that end the completion")
    ignore_eos: bool = param(Boolean(), False, "Go on after the model's end tokens")
    n: int = param(Integer(low=1), 1, "Choices a prompt")
    stream: bool = param(Boolean(), False, "Answer by server-sent events")
    stream_options: frozenset[str] = param(Flags(STREAM_OPTIONS), frozenset(), "Only with stream")
    logprobs: int | None = param(Integer(low=0), None, "Log-probabilities of each token and the k likeliest")
    echo: bool = param(Boolean(), False, "Put the prompt before the completion")
    user: str | None = param(Text(), None, "A label")


# Fields that OpenAI's clients send; accepted without effect.
WITHOUT_EFFECT = ("metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")

# Fields that are known and not served; each with the values that ask for nothing, null apart.
UNSERVED: dict[str, tuple[Any, ...]] = {
    "suffix": ("",),
    "truncate_prompt_tokens": (),
    "add_special_tokens": (True,),
    "min_tokens": (0,),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "early_stopping": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "prompt_logprobs": (),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_whitespace_pattern": (),
    "guided_decoding_backend": ("auto",),
    "response_format": ({"type": "text"},),
    "structured_outputs": (),
    "cache_salt": (),
    "priority": (0,),
    "num_beams": (1,),
    "do_sample": (True,),
    "max_new_tokens": (),
    "prompt_embeds": (),
    "kv_transfer_params": (),
    "vllm_xargs": (),
    "logits_processors": (),
    "request_id": (),
}
INSTEAD = {"max_new_tokens": "use max_tokens", "do_sample": "use temperature 0", "best_of": "use n"}


# ---- answers


class PromptTokensDetails(msgspec.Struct, frozen=True):
    cached_tokens: int


class UsageObject(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class ChoiceObject(msgspec.Struct, frozen=True):
    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: str | None
    stop_reason: StopReason


class CompletionObject(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChoiceObject]
    usage: UsageObject | msgspec.UnsetType | None = msgspec.UNSET


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["ensue"] = "ensue"
    root: str
    parent: None = None
    max_model_len: int | None  # null until the model is loaded
    default_sampling_params: dict[str, float | int]


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[ModelObject]


class ErrorDetail(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorObject(msgspec.Struct, frozen=True):
    """Every response that is no success."""

    error: ErrorDetail
