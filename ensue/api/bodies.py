"""What comes in over the wire: the bodies of requests, each field with its kind, default and help.

Validation and OpenAPI both come from here. Which fields may be combined, and the server's limits, are params.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ensue.api.fields import (
    Boolean,
    BooleanOr,
    Choice,
    Flags,
    Integer,
    ListOf,
    Number,
    OneOrMore,
    Positive,
    Text,
    param,
)
from ensue.api.guided_fields import BACKEND, RESPONSE_FORMAT, STRUCTURED_OUTPUTS
from ensue.api.kinds import JSON_SCHEMA, LOGIT_BIAS, PROMPT, TOKEN_IDS, Prompts
from ensue.api.messages import MESSAGES, TEMPLATE_VARIABLES, Messages
from ensue.api.tools import TOOL_CHOICE, TOOLS, ToolChoice
from ensue.service.request import DEFAULT_MAX_TOKENS
from ensue.tools import Tool

STREAM_OPTIONS = ("include_usage", "continuous_usage_stats", "include_obfuscation")  # the last has no effect

# Fields that OpenAI's clients send; accepted without effect.
WITHOUT_EFFECT = (
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
)

# Fields that are known and not served; each with the values that ask for nothing, null apart.
UNSERVED: Mapping[str, tuple[Any, ...]] = {
    # vLLM's
    "prompt_embeds": (),
    "kv_transfer_params": (),
    "vllm_xargs": (),
    "logits_processors": (),
    "request_id": (),
    "detokenize": (True,),
    "logprob_token_ids": (),
    "repetition_detection": (),
    "thinking_token_budget": (-1,),
    "ec_transfer_params": (),
    "session_id": (),
    "stream_interval": (1,),
    # SGLang's, MLC's and llama.cpp's
    "regex": (),
    "ebnf": (),
    "grammar": (),
    "json_schema": (),
    "structural_tag": (),
    "stop_regex": (),
    "no_stop_trim": (False,),
    "return_hidden_states": (False,),
    "lora_path": (),
    "debug_config": (),
    "n_predict": (),
    "n_probs": (0,),
    "repeat_penalty": (1,),
    "cache_prompt": (True,),
    "mirostat": (0,),
    "timings_per_token": (False,),
    # Hugging Face's
    "num_beams": (1,),
    "num_return_sequences": (1,),
    "do_sample": (True,),
    "max_new_tokens": (),
    "max_length": (),
    "min_new_tokens": (0,),
    "typical_p": (1,),
    "no_repeat_ngram_size": (0,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0,),
    "use_cache": (True,),
}
INSTEAD = {
    "max_new_tokens": "use max_tokens",
    "max_length": "use max_tokens",
    "min_new_tokens": "use min_tokens",
    "do_sample": "use temperature 0",
    "num_beams": "use use_beam_search and best_of",
    "num_return_sequences": "use n",
    "regex": "use guided_regex",
    "ebnf": "use guided_grammar",
    "grammar": "use guided_grammar",
    "json_schema": "use response_format or guided_json",
    "no_stop_trim": "use include_stop_str_in_output",
    "n_predict": "use max_tokens",
    "n_probs": "use logprobs",
    "repeat_penalty": "use repetition_penalty",
    "request_id": "the server names requests, see x-request-id",
}
OWN_TEMPLATE = "a chat template is given when the server starts, by --chat-template"
UNSERVED_IN_CHAT: Mapping[str, tuple[Any, ...]] = {
    # OpenAI's
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "moderation": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
    # vLLM's
    "chat_template": (),
    "documents": ([],),
    "mm_processor_kwargs": (),
    "include_reasoning": (True,),
}


@dataclass(frozen=True, slots=True)
class Body:
    """What every body has."""

    required: ClassVar[tuple[str, ...]] = ()
    without_effect: ClassVar[tuple[str, ...]] = ()
    unserved: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    instead: ClassVar[Mapping[str, str]] = {}  # what to use for what is not served
    one_of: ClassVar[tuple[str, ...]] = ()  # exactly one of these fields is given


@dataclass(frozen=True, slots=True)
class ModelBody(Body):
    """What every body has that is for a model."""

    model: str | None = param(Text(), None, "A served name or alias; default: the served model")


@dataclass(frozen=True, slots=True)
class GenerationBody(ModelBody):
    """What completions and chats have in common."""

    without_effect: ClassVar[tuple[str, ...]] = WITHOUT_EFFECT
    unserved: ClassVar[Mapping[str, tuple[Any, ...]]] = UNSERVED
    instead: ClassVar[Mapping[str, str]] = INSTEAD
    top_field: ClassVar[str] = "logprobs"  # that says how many likeliest tokens are told

    # ---- input
    truncate_prompt_tokens: int | None = param(Integer(low=1), None, "Keep the last so many tokens of the prompt")
    truncation_side: Literal["left", "right"] = param(
        Choice(("left", "right")), "left", "Where a prompt is cut: right keeps its first tokens"
    )
    # ---- how much, how many
    min_tokens: int = param(Integer(low=0), 0, "Neither end nor stop before so many tokens")
    n: int = param(Integer(low=1), 1, "Choices a prompt")
    best_of: int | None = param(Integer(low=1), None, "Sample so many, return the n likeliest; with beams their number")
    use_beam_search: bool = param(Boolean(), False, "Search for the likeliest texts instead of sampling")
    length_penalty: float = param(Number(), 1.0, "Beams: score = sum of log-probabilities / length ^ this")
    early_stopping: bool | Literal["never"] = param(BooleanOr("never"), False, "Beams: when the search ends")
    ignore_eos: bool = param(Boolean(), False, "Go on after the model's end tokens")
    stop: tuple[str, ...] = param(OneOrMore(Text()), (), "Texts before which the completion is cut")
    stop_token_ids: tuple[int, ...] = param(TOKEN_IDS, (), "Tokens that end the completion")
    include_stop_str_in_output: bool = param(Boolean(), False, "Keep the text that stopped the completion")
    # ---- choosing tokens
    allowed_token_ids: tuple[int, ...] | None = param(TOKEN_IDS, None, "No other token is generated")
    bad_words: tuple[str, ...] = param(ListOf(Text()), (), "Words that are not generated")
    logit_bias: tuple[tuple[int, float], ...] = param(LOGIT_BIAS, (), "Added to the logits of tokens; -100 bans")
    repetition_penalty: float | None = param(
        Positive(), None, "Default 1; divides or multiplies the logits of prompt and output tokens", neutral=(1.0,)
    )
    frequency_penalty: float = param(Number(-2, 2), 0.0, "Subtracted for each time that the output has the token")
    presence_penalty: float = param(Number(-2, 2), 0.0, "Subtracted once where the output has the token")
    temperature: float | None = param(Number(0, 2), None, "Default 1; 0 takes the likeliest token", neutral=(1.0,))
    min_p: float | None = param(
        Number(0, 1), None, "Default 0; drops tokens below this share of the likeliest", neutral=(0.0,)
    )
    top_k: int | None = param(
        Integer(low=-1), None, "The k likeliest tokens; 0 and -1 are off, the default", neutral=(0, -1)
    )
    top_p: float | None = param(
        Number(0, 1), None, "Default 1; the smallest set of tokens with this mass", neutral=(1.0,)
    )
    seed: int | None = param(
        Integer(), None, "Equal requests with equal seeds have equal answers; -1 is none", neutral=(-1,)
    )
    # ---- guided decoding
    guided_json: dict[str, Any] | bool | str | None = param(  # noqa: RUF009 - makes a field
        JSON_SCHEMA, None, "The text is JSON that satisfies this schema"
    )
    guided_regex: str | None = param(Text(), None, "The whole text matches this regex")
    guided_choice: tuple[str, ...] | None = param(ListOf(Text()), None, "The text is one of these")
    guided_grammar: str | None = param(Text(), None, "The text satisfies this grammar, in Lark or GBNF")
    guided_whitespace_pattern: str | None = param(Text(), None, "Regex for white space between JSON tokens")
    guided_decoding_backend: str = param(BACKEND, "auto", "auto, llguidance, xgrammar or outlines")
    response_format: dict[str, Any] | None = param(  # noqa: RUF009
        RESPONSE_FORMAT, None, "text, json_object or json_schema, as OpenAI has it", neutral=({"type": "text"},)
    )
    structured_outputs: dict[str, Any] | None = param(  # noqa: RUF009
        STRUCTURED_OUTPUTS, None, "json, regex, choice, grammar or json_object, with whitespace_pattern", neutral=({},)
    )
    # ---- what is returned
    prompt_logprobs: int | None = param(Integer(low=0), None, "Of each prompt token, with the k likeliest there")
    return_token_ids: bool = param(Boolean(), False, "Give the ids of prompt and completion, too")
    return_tokens_as_token_ids: bool = param(Boolean(), False, "Name tokens `token_id:7` in logprobs")
    skip_special_tokens: bool = param(Boolean(), True, "Leave special tokens out of the text")
    spaces_between_special_tokens: bool = param(Boolean(), True, "Where they stay, a space between neighbours")
    stream: bool = param(Boolean(), False, "Answer by server-sent events")
    stream_options: frozenset[str] | None = param(Flags(STREAM_OPTIONS), None, "Only with stream")
    # ---- who asks
    priority: int | None = param(Integer(), None, "Lower first; default, and least: what the key has", neutral=(0,))
    cache_salt: str | None = param(Text(), None, "Share cached prompts only with requests of the same salt")
    user: str | None = param(Text(), None, "A label")


@dataclass(frozen=True, slots=True)
class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    required: ClassVar[tuple[str, ...]] = ("prompt",)

    prompt: Prompts | None = param(  # noqa: RUF009 - makes a field
        PROMPT, None, "Text, texts, token ids, or lists of them; required"
    )
    suffix: str | None = param(Text(), None, "The text after the gap that the completion fills", neutral=("",))
    echo: bool = param(Boolean(), False, "Put the prompt before the completion")
    add_special_tokens: bool = param(Boolean(), True, "Encode texts with the tokens that the tokenizer adds")
    max_tokens: int | None = param(
        Integer(low=0),
        None,
        f"Tokens generated at most; default {DEFAULT_MAX_TOKENS}, less where the context ends",
        neutral=(DEFAULT_MAX_TOKENS,),
    )
    max_completion_tokens: int | None = param(
        Integer(low=0), None, "Another name of max_tokens; of both the smaller holds", neutral=(DEFAULT_MAX_TOKENS,)
    )
    logprobs: int | None = param(Integer(low=0), None, "Log-probabilities of each token and the k likeliest")


@dataclass(frozen=True)  # without slots: it is a second base
class ConversationFields:
    """How messages become a prompt."""

    messages: Messages | None = param(MESSAGES, None, "The conversation so far")  # noqa: RUF009 - makes a field
    tools: tuple[Tool, ...] = param(TOOLS, (), "Functions that the model may call")
    add_generation_prompt: bool = param(
        Boolean(), True, "Begin the assistant's message; without effect where the final message is continued"
    )
    continue_final_message: bool = param(Boolean(), False, "Go on from the end of the final message")
    chat_template_kwargs: dict[str, Any] | None = param(  # noqa: RUF009
        TEMPLATE_VARIABLES, None, "Variables for the chat template", neutral=({},)
    )


@dataclass(frozen=True, slots=True)
class ChatBody(ConversationFields, GenerationBody):
    """POST /v1/chat/completions."""

    required: ClassVar[tuple[str, ...]] = ("messages",)
    unserved: ClassVar[Mapping[str, tuple[Any, ...]]] = {**UNSERVED, **UNSERVED_IN_CHAT}
    instead: ClassVar[Mapping[str, str]] = {
        **INSTEAD,
        "chat_template": OWN_TEMPLATE,
        "functions": "use tools",
        "function_call": "use tool_choice",
    }
    top_field: ClassVar[str] = "top_logprobs"

    tool_choice: ToolChoice | None = param(  # noqa: RUF009 - makes a field
        TOOL_CHOICE, None, "none, auto (the default), required, one function, or some", neutral=(ToolChoice("auto"),)
    )
    parallel_tool_calls: bool | None = param(Boolean(), None, "Default true; false: one call at most", neutral=(True,))
    echo: bool = param(Boolean(), False, "Put the final message, where it is the assistant's, before the answer")
    add_special_tokens: bool = param(Boolean(), False, "Add the tokenizer's special tokens to those of the template")
    max_tokens: int | None = param(Integer(low=1), None, "Tokens generated at most; default: what the context leaves")
    max_completion_tokens: int | None = param(
        Integer(low=1), None, "Another name of max_tokens; of both the smaller holds"
    )
    logprobs: bool = param(Boolean(), False, "Log-probabilities of each token")
    top_logprobs: int | None = param(Integer(low=0), None, "With logprobs: the k likeliest tokens, too", neutral=(0,))


@dataclass(frozen=True, slots=True)
class TokenizeBody(ConversationFields, ModelBody):
    """POST /tokenize."""

    one_of: ClassVar[tuple[str, ...]] = ("prompt", "messages")
    unserved: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "chat_template": (),
        "mm_processor_kwargs": (),
    }
    instead: ClassVar[Mapping[str, str]] = {"chat_template": OWN_TEMPLATE}

    prompt: str | None = param(Text(), None, "A text; this or messages")
    add_special_tokens: bool | None = param(
        Boolean(), None, "Add the tokenizer's special tokens; default: true for a prompt, false for messages"
    )
    return_token_strs: bool = param(Boolean(), False, "Give the tokens as the vocabulary writes them, too")


@dataclass(frozen=True, slots=True)
class DetokenizeBody(ModelBody):
    """POST /detokenize."""

    required: ClassVar[tuple[str, ...]] = ("tokens",)

    tokens: tuple[int, ...] | None = param(TOKEN_IDS, None, "Token ids")


BODIES: tuple[type[Body], ...] = (CompletionBody, ChatBody, TokenizeBody, DetokenizeBody)
