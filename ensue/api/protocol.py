"""What goes back over the wire: the objects of answers. Requests are bodies.py's; OpenAPI comes from both."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from ensue.service.choice import StopReason
from ensue.service.logprobs import Logprobs, PromptLogprobs, TokenLogprob

T = TypeVar("T")


def given(value: T | None) -> T | msgspec.UnsetType:
    """A value that answers have only where it is there."""
    return msgspec.UNSET if value is None else value


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
    # Null in whole answers and absent in events where they are not asked for: clients of vLLM read them.
    prompt_logprobs: PromptLogprobs | msgspec.UnsetType | None = None
    token_ids: tuple[int, ...] | msgspec.UnsetType | None = None
    prompt_token_ids: tuple[int, ...] | msgspec.UnsetType | None = None


class CompletionObject(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChoiceObject]
    usage: UsageObject | msgspec.UnsetType | None = msgspec.UNSET


class FunctionObject(msgspec.Struct, frozen=True):
    name: str
    arguments: str  # JSON, as the model wrote it


class ToolCallObject(msgspec.Struct, frozen=True):
    id: str
    function: FunctionObject
    type: Literal["function"] = "function"


class MessageObject(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None  # null where there are only calls
    refusal: None = None
    tool_calls: list[ToolCallObject] | msgspec.UnsetType = msgspec.UNSET


class ChatLogprobsObject(msgspec.Struct, frozen=True):
    content: tuple[TokenLogprob, ...]
    refusal: None = None


class ChatChoiceObject(msgspec.Struct, frozen=True):
    index: int
    message: MessageObject
    logprobs: ChatLogprobsObject | None
    finish_reason: str
    stop_reason: StopReason
    token_ids: tuple[int, ...] | None = None


class ChatObject(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoiceObject]
    usage: UsageObject
    prompt_logprobs: PromptLogprobs | None = None
    prompt_token_ids: tuple[int, ...] | None = None


class FunctionDelta(msgspec.Struct, frozen=True):
    arguments: str
    name: str | msgspec.UnsetType = msgspec.UNSET


class ToolCallDelta(msgspec.Struct, frozen=True):
    """The next part of one call; its first event names it."""

    index: int
    function: FunctionDelta
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] | msgspec.UnsetType = msgspec.UNSET


class DeltaObject(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET  # in the first event of a choice
    content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[ToolCallDelta] | msgspec.UnsetType = msgspec.UNSET


class ChatChunkChoice(msgspec.Struct, frozen=True):
    index: int
    delta: DeltaObject
    logprobs: ChatLogprobsObject | None = None
    finish_reason: str | None = None
    stop_reason: StopReason = None
    token_ids: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class ChatChunkObject(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a stream; what belongs to the prompt stands in the first."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: UsageObject | msgspec.UnsetType | None = msgspec.UNSET
    prompt_logprobs: PromptLogprobs | msgspec.UnsetType = msgspec.UNSET
    prompt_token_ids: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class TokenizeObject(msgspec.Struct, frozen=True):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str | None] | None


class DetokenizeObject(msgspec.Struct, frozen=True):
    prompt: str


class TokenizerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Special tokens by name, more of them where the model has more."""

    tokenizer_class: str | None
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str | None


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


class KeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """An API key; null is no limit. Times are Unix seconds."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    owner: str
    hint: str  # the token's last characters
    state: Literal["active", "disabled", "expired", "not valid yet", "revoked"]
    scopes: list[str]
    models: list[str]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent: int | None
    token_budget: int | None
    token_budget_per_day: int | None
    token_budget_per_month: int | None
    max_tokens: int | None
    max_n: int | None
    priority: int
    not_before: int | None
    expires_at: int | None
    allow_ips: list[str]
    created_at: int
    revoked_at: int | None
    disabled: bool
    maker: str | None  # id of the key that made it
    old_until: int | None  # when the token before the last rotation ends


class KeyWithToken(KeyObject, frozen=True, kw_only=True):
    """A key that was made or rotated, with its token."""

    key: str


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[KeyObject]


class UsageSum(msgspec.Struct, frozen=True, kw_only=True):
    """One row of /admin/usage; of day, key and model it has what it was asked by."""

    object: Literal["usage_sum"] = "usage_sum"
    day: str | msgspec.UnsetType = msgspec.UNSET
    key_id: str | msgspec.UnsetType | None = msgspec.UNSET  # null: no key was needed
    key_name: str | msgspec.UnsetType | None = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    total_tokens: int


class UsageList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[UsageSum]


class AuditObject(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["audit_record"] = "audit_record"
    number: int
    at: str
    event: str
    actor: str
    target: str
    details: dict[str, str | int | bool | list[str] | None]
    hash: str


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[AuditObject]


class ErrorDetail(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorObject(msgspec.Struct, frozen=True):
    """Every response that is no success."""

    error: ErrorDetail
