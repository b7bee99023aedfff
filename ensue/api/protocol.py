"""What goes back over the wire: the objects of answers. Requests are bodies.py's; OpenAPI comes from both.

A text in an annotation describes its field there; a field is always there unless its type has UnsetType.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from ensue.service.choice import StopReason
from ensue.service.logprobs import Logprobs, PromptLogprobs, TokenLogprob

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0)]


def given(value: T | None) -> T | msgspec.UnsetType:
    """A value that answers have only where it is there."""
    return msgspec.UNSET if value is None else value


class PromptTokensDetails(msgspec.Struct, frozen=True):
    cached_tokens: Annotated[Count, "Found in the prefix cache, so not computed"]


class UsageObject(msgspec.Struct, frozen=True):
    """What is billed."""

    prompt_tokens: Annotated[Count, "Each prompt of a list counted once"]
    completion_tokens: Annotated[Count, "Of all samples, up to and with the token that ended each"]
    total_tokens: Annotated[Count, "The sum of both"]
    prompt_tokens_details: Annotated[PromptTokensDetails, "More of the prompt tokens"]


class ChoiceObject(msgspec.Struct, frozen=True):
    """One text, or in an event what is new of it."""

    index: Annotated[Count, "Index of the prompt × n + index of the sample, or rank with best_of"]
    text: Annotated[str, "With echo, the prompt comes first"]
    logprobs: Annotated[Logprobs | None, "Null where they are not asked for"]
    finish_reason: Annotated[str | None, "stop or length; null in events before the choice's last"]
    stop_reason: Annotated[StopReason, "The stop string or the id of the stop token; no_token_left; else null"]
    # Null in whole answers and absent in events where they are not asked for: clients of vLLM read them.
    prompt_logprobs: Annotated[
        PromptLogprobs | msgspec.UnsetType | None,
        "For each prompt token a map from id to what is known of it and of the likeliest; null for the first",
    ] = None
    token_ids: Annotated[tuple[int, ...] | msgspec.UnsetType | None, "All tokens that are counted"] = None
    prompt_token_ids: Annotated[tuple[int, ...] | msgspec.UnsetType | None, "The prompt's tokens"] = None


class CompletionObject(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, or one event of a stream."""

    id: Annotated[str, "cmpl- and the digits of x-request-id"]
    object: Annotated[Literal["text_completion"], "What this is"] = "text_completion"
    created: Annotated[Count, "Unix seconds"]
    model: Annotated[str, "The name that was asked for"]
    system_fingerprint: Annotated[str, "Equal where weights, arithmetic and build are"]
    choices: Annotated[list[ChoiceObject], "By index; none in the event that tells the usage"]
    usage: Annotated[
        UsageObject | msgspec.UnsetType | None, "Always in whole answers; in events where stream_options asks for it"
    ] = msgspec.UNSET


class FunctionObject(msgspec.Struct, frozen=True):
    name: Annotated[str, "One of the tools' names"]
    arguments: Annotated[str, "JSON that satisfies the tool's parameters"]


class ToolCallObject(msgspec.Struct, frozen=True):
    """One call of a tool."""

    id: Annotated[str, "To be given back in the tool_call_id of its result"]
    function: Annotated[FunctionObject, "What is called"]
    type: Annotated[Literal["function"], "What is called is one"] = "function"


class MessageObject(msgspec.Struct, frozen=True, kw_only=True):
    """The assistant's answer."""

    role: Annotated[Literal["assistant"], "Who speaks"] = "assistant"
    content: Annotated[str | None, "Null where there are only calls"]
    refusal: Annotated[None, "Always null"] = None
    tool_calls: Annotated[list[ToolCallObject] | msgspec.UnsetType, "Where tools are called"] = msgspec.UNSET


class ChatLogprobsObject(msgspec.Struct, frozen=True):
    content: Annotated[tuple[TokenLogprob, ...], "One entry per returned token, the end token too"]
    refusal: Annotated[None, "Always null"] = None


class ChatChoiceObject(msgspec.Struct, frozen=True):
    """One answer."""

    index: Annotated[Count, "Index of the sample, or its rank with best_of"]
    message: Annotated[MessageObject, "The answer itself"]
    logprobs: Annotated[ChatLogprobsObject | None, "Null where they are not asked for"]
    finish_reason: Annotated[str, "stop, length or tool_calls"]
    stop_reason: Annotated[StopReason, "The stop string or the id of the stop token; no_token_left; else null"]
    token_ids: Annotated[tuple[int, ...] | None, "All tokens that are counted, where asked for"] = None


class ChatObject(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: Annotated[str, "chatcmpl- and the digits of x-request-id"]
    object: Annotated[Literal["chat.completion"], "What this is"] = "chat.completion"
    created: Annotated[Count, "Unix seconds"]
    model: Annotated[str, "The name that was asked for"]
    system_fingerprint: Annotated[str, "Equal where weights, arithmetic and build are"]
    choices: Annotated[list[ChatChoiceObject], "By index"]
    usage: Annotated[UsageObject, "Of the whole request"]
    prompt_logprobs: Annotated[PromptLogprobs | None, "As in completions, where asked for"] = None
    prompt_token_ids: Annotated[tuple[int, ...] | None, "The prompt's tokens, where asked for"] = None


class FunctionDelta(msgspec.Struct, frozen=True):
    arguments: Annotated[str, "The next part of the JSON"]
    name: Annotated[str | msgspec.UnsetType, "In the first event of a call"] = msgspec.UNSET


class ToolCallDelta(msgspec.Struct, frozen=True):
    """The next part of one call; its first event names it."""

    index: Annotated[Count, "Which call of the choice"]
    function: Annotated[FunctionDelta, "What is called"]
    id: Annotated[str | msgspec.UnsetType, "In the first event of a call"] = msgspec.UNSET
    type: Annotated[Literal["function"] | msgspec.UnsetType, "In the first event of a call"] = msgspec.UNSET


class DeltaObject(msgspec.Struct, frozen=True, kw_only=True):
    """What is new of a message."""

    role: Annotated[Literal["assistant"] | msgspec.UnsetType, "In the first event of a choice"] = msgspec.UNSET
    content: Annotated[str | msgspec.UnsetType, "The next part of the text"] = msgspec.UNSET
    tool_calls: Annotated[list[ToolCallDelta] | msgspec.UnsetType, "The next parts of calls"] = msgspec.UNSET


class ChatChunkChoice(msgspec.Struct, frozen=True):
    """What is new of one choice."""

    index: Annotated[Count, "Which choice"]
    delta: Annotated[DeltaObject, "What is new of its message"]
    logprobs: Annotated[ChatLogprobsObject | None, "Null where they are not asked for"] = None
    finish_reason: Annotated[str | None, "stop, length or tool_calls; null before the choice's last event"] = None
    stop_reason: Annotated[StopReason, "As in whole answers"] = None
    token_ids: Annotated[tuple[int, ...] | msgspec.UnsetType, "Those of this part, where asked for"] = msgspec.UNSET


class ChatChunkObject(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a stream; what belongs to the prompt stands in the first."""

    id: Annotated[str, "The same in all events"]
    object: Annotated[Literal["chat.completion.chunk"], "What this is"] = "chat.completion.chunk"
    created: Annotated[Count, "Unix seconds"]
    model: Annotated[str, "The name that was asked for"]
    system_fingerprint: Annotated[str, "Equal where weights, arithmetic and build are"]
    choices: Annotated[list[ChatChunkChoice], "One; none in the event that tells the usage"]
    usage: Annotated[UsageObject | msgspec.UnsetType | None, "Where stream_options asks for it"] = msgspec.UNSET
    prompt_logprobs: Annotated[PromptLogprobs | msgspec.UnsetType, "In the first event, where asked for"] = (
        msgspec.UNSET
    )
    prompt_token_ids: Annotated[tuple[int, ...] | msgspec.UnsetType, "In the first event, where asked for"] = (
        msgspec.UNSET
    )


class TokenizeObject(msgspec.Struct, frozen=True):
    count: Annotated[Count, "How many tokens"]
    max_model_len: Annotated[Count, "How many a prompt and its completion may have together"]
    tokens: Annotated[list[Count], "Their ids"]
    token_strs: Annotated[list[str | None] | None, "As the vocabulary writes them; null where not asked for"]


class DetokenizeObject(msgspec.Struct, frozen=True):
    prompt: Annotated[str, "The text of the tokens, special ones included"]


class TokenizerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Special tokens by name, more of them where the model has more."""

    tokenizer_class: Annotated[str | None, "As tokenizer_config.json names it"]
    bos_token: Annotated[str | None, "Begins a text"]
    eos_token: Annotated[str | None, "Ends a text"]
    pad_token: Annotated[str | None, "Fills up"]
    unk_token: Annotated[str | None, "Stands for what the vocabulary lacks"]
    chat_template: Annotated[str | None, "Jinja; null where the model has none"]


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """One name of a served model."""

    id: Annotated[str, "The name"]
    object: Annotated[Literal["model"], "What this is"] = "model"
    created: Annotated[Count, "Unix seconds"]
    owned_by: Annotated[Literal["ensue"], "Who serves it"] = "ensue"
    root: Annotated[str, "The model's hub id, or its name"]
    parent: Annotated[None, "Always null"] = None
    max_model_len: Annotated[Count | None, "Longest prompt + completion in tokens; null until the model is loaded"]
    default_sampling_params: Annotated[dict[str, float | int], "What holds where a request is silent"]


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    object: Annotated[Literal["list"], "What this is"] = "list"
    data: Annotated[list[ModelObject], "All that the key may use, under each of their names"]


class HealthObject(msgspec.Struct, frozen=True):
    status: Annotated[Literal["ok"], "The process answers"] = "ok"


class ReadyObject(msgspec.Struct, frozen=True):
    status: Annotated[Literal["ready"], "Every engine makes progress"] = "ready"


class SelfTestObject(msgspec.Struct, frozen=True):
    """What the start-up self-test found about the linear layers."""

    path: Annotated[str, "How they run"]
    row_independent: Annotated[bool, "Whether rows were found independent"]
    min_rows: Annotated[Count, "Rows are padded to this count"]
    row_block: Annotated[Count | None, "Where no count was found: every call has exactly this many rows"]
    elapsed_s: Annotated[float, "How long the test took"]


class VersionObject(msgspec.Struct, frozen=True, kw_only=True):
    """The build, and what makes answers reproducible; null until the engine is loaded."""

    version: Annotated[str, "Of ensue"]
    model: Annotated[str, "Canonical name of the default model"]
    fingerprint: Annotated[str | None, "The system_fingerprint of answers"] = None
    row_independent: Annotated[bool | None, "Whether seeded answers are the same at any load"] = None
    self_test: Annotated[SelfTestObject | None, "Null where the engine has none"] = None
    dtype: Annotated[str | None, "The arithmetic"] = None
    device: Annotated[str | None, "Where the model runs"] = None


class KeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """An API key; null is no limit. Times are Unix seconds."""

    id: Annotated[str, "In paths and in the audit log; opens nothing"]
    object: Annotated[Literal["api_key"], "What this is"] = "api_key"
    name: Annotated[str, "What people call it"]
    owner: Annotated[str, "Who has it"]
    hint: Annotated[str, "The token's last characters"]
    state: Annotated[Literal["active", "disabled", "expired", "not valid yet", "revoked"], "What it is worth now"]
    scopes: Annotated[list[str], "What it is for"]
    models: Annotated[list[str], "Names or globs of models"]
    requests_per_minute: Annotated[Count | None, "Requests that may start in a minute"]
    tokens_per_minute: Annotated[Count | None, "Prompt and completion tokens a minute"]
    concurrent: Annotated[Count | None, "Requests at once"]
    token_budget: Annotated[Count | None, "Tokens in all"]
    token_budget_per_day: Annotated[Count | None, "Tokens a day, UTC"]
    token_budget_per_month: Annotated[Count | None, "Tokens a month, UTC"]
    max_tokens: Annotated[Count | None, "The highest max_tokens"]
    max_n: Annotated[Count | None, "The highest n and best_of"]
    priority: Annotated[int, "The most urgent priority, and the default; lower comes first"]
    not_before: Annotated[Count | None, "When it begins to open"]
    expires_at: Annotated[Count | None, "When it ends"]
    allow_ips: Annotated[list[str], "Networks of use; none: from anywhere"]
    created_at: Annotated[Count, "When it was made"]
    revoked_at: Annotated[Count | None, "When it was ended for ever"]
    disabled: Annotated[bool, "Opens nothing as long as this is true"]
    maker: Annotated[str | None, "Id of the key that made it; null: made on the host"]
    old_until: Annotated[int | None, "When the token before the last rotation ends"]


class KeyWithToken(KeyObject, frozen=True, kw_only=True):
    """A key that was made or rotated, with its token."""

    key: Annotated[str, "The token, told this once"]


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    object: Annotated[Literal["list"], "What this is"] = "list"
    data: Annotated[list[KeyObject], "The oldest first"]


class UsageSum(msgspec.Struct, frozen=True, kw_only=True):
    """One row of /admin/usage; of day, key and model it has what it was asked by."""

    object: Annotated[Literal["usage_sum"], "What this is"] = "usage_sum"
    day: Annotated[str | msgspec.UnsetType, "UTC"] = msgspec.UNSET
    key_id: Annotated[str | msgspec.UnsetType | None, "Null: no key was needed"] = msgspec.UNSET
    key_name: Annotated[str | msgspec.UnsetType | None, "What people call the key; null where it is not known"] = (
        msgspec.UNSET
    )
    model: Annotated[str | msgspec.UnsetType, "Canonical name"] = msgspec.UNSET
    requests: Annotated[Count, "How many"]
    prompt_tokens: Annotated[Count, "Cached ones among them"]
    cached_tokens: Annotated[Count, "Prompt tokens that were not computed"]
    completion_tokens: Annotated[Count, "Of all samples"]
    total_tokens: Annotated[Count, "Prompt and completion tokens"]


class UsageList(msgspec.Struct, frozen=True, kw_only=True):
    object: Annotated[Literal["list"], "What this is"] = "list"
    data: Annotated[list[UsageSum], "In the order of what they are by"]


class UsageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the ledger; what is null of its end is not known, or it still runs."""

    object: Annotated[Literal["usage_request"], "What this is"] = "usage_request"
    id: Annotated[str, "The answer's x-request-id"]
    created_at: Annotated[Count, "Unix seconds"]
    key_id: Annotated[str | None, "Null: no key was needed"]
    key_name: Annotated[str | None, "What people call the key; null where it is not known"]
    endpoint: Annotated[str, "The route's path"]
    model: Annotated[str, "Canonical name"]
    user: Annotated[str | None, "The request's label"]
    prompt_tokens: Annotated[Count, "Cached ones among them"]
    cached_tokens: Annotated[Count, "Prompt tokens that were not computed"]
    completion_tokens: Annotated[Count, "Of all samples"]
    finish: Annotated[str | None, "Reasons of the choices, or cancelled, error, lost"]
    status: Annotated[int | None, "Of the HTTP answer, where one was begun"]
    queue_s: Annotated[float | None, "Seconds that it waited in the engine"]
    first_token_s: Annotated[float | None, "Seconds to its first token"]
    total_s: Annotated[float | None, "Seconds to its end"]
    settled_at: Annotated[Count | None, "Unix seconds"]


class UsageRequestList(msgspec.Struct, frozen=True, kw_only=True):
    object: Annotated[Literal["list"], "What this is"] = "list"
    data: Annotated[list[UsageRequest], "The newest first"]


class AuditObject(msgspec.Struct, frozen=True, kw_only=True):
    """One act, or one refused authentication."""

    object: Annotated[Literal["audit_record"], "What this is"] = "audit_record"
    number: Annotated[Count, "Counts up by one"]
    at: Annotated[str, "When, UTC"]
    event: Annotated[str, "What happened"]
    actor: Annotated[str, "Who did it"]
    target: Annotated[str, "To what"]
    details: Annotated[dict[str, str | int | bool | list[str] | None], "What changed"]
    hash: Annotated[str, "Over this record and the hash before"]


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    object: Annotated[Literal["list"], "What this is"] = "list"
    data: Annotated[list[AuditObject], "In their order"]


class ErrorDetail(msgspec.Struct, frozen=True):
    message: Annotated[str, "A sentence: what was given, what is allowed"]
    type: Annotated[str, "The kind of error"]
    param: Annotated[str | None, "The field with its path, as in prompt[3]"]
    code: Annotated[str | None, "For programs"]


class ErrorObject(msgspec.Struct, frozen=True):
    """Every response that is no success."""

    error: Annotated[ErrorDetail, "What is wrong"]


class NotReadyObject(ErrorObject, frozen=True):
    """Why an engine makes no progress."""

    phase: Annotated[str, "What it does instead"]
    elapsed_s: Annotated[float, "For how long"]
