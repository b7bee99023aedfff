"""Examples of requests and answers, by operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ensue.api.protocol import (
    AuditList,
    AuditObject,
    ChatChoiceObject,
    ChatChunkChoice,
    ChatChunkObject,
    ChatObject,
    ChoiceObject,
    CompletionObject,
    DeltaObject,
    DetokenizeObject,
    FunctionObject,
    HealthObject,
    KeyList,
    KeyObject,
    KeyWithToken,
    MessageObject,
    ModelList,
    ModelObject,
    PromptTokensDetails,
    ReadyObject,
    SelfTestObject,
    TokenizeObject,
    TokenizerInfo,
    ToolCallObject,
    UsageList,
    UsageObject,
    UsageSum,
    VersionObject,
)
from ensue.api.sse import DONE, event
from ensue.service.logprobs import Logprobs

Examples = Mapping[str, Mapping[str, Any]]

QUESTION = {"role": "user", "content": "Is it sunny in Rome?"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}

REQUESTS: Examples = {
    "createCompletion": {
        "a text": {"prompt": "Once upon a time", "max_tokens": 60, "temperature": 0.7, "seed": 1},
        "a stream": {"prompt": "The king", "stream": True, "stream_options": {"include_usage": True}},
        "several prompts": {"prompt": ["One day,", "At night,"], "n": 2, "stop": ["\n"]},
        "the best of eight": {"prompt": "Once upon a time", "n": 2, "best_of": 8, "logprobs": 0},
        "a prompt scored": {"prompt": "The dog barked.", "echo": True, "logprobs": 1, "max_tokens": 0},
        "JSON": {"prompt": "A person as JSON:", "guided_json": CITY, "max_tokens": 100},
        "one of two words": {"prompt": "Is water wet?", "guided_choice": ["yes", "no"]},
        "beams": {"prompt": "The king", "use_beam_search": True, "n": 4, "length_penalty": 0.6},
    },
    "createChatCompletion": {
        "a question": {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0},
        "a stream": {"messages": [QUESTION], "stream": True, "max_tokens": 60},
        "a tool": {"messages": [QUESTION], "tools": [TOOL], "tool_choice": "required"},
        "JSON": {"messages": [QUESTION], "response_format": {"type": "json_object"}, "max_tokens": 100},
    },
    "tokenize": {
        "a text": {"prompt": "Once upon a time", "return_token_strs": True},
        "a chat": {"messages": [QUESTION]},
    },
    "detokenize": {"tokens": {"tokens": [302, 290, 261]}},
    "createKey": {
        "a key with limits": {"name": "web", "scopes": ["chat"], "requests_per_minute": 60, "expires_at": "30d"}
    },
    "updateKey": {"another limit": {"tokens_per_minute": 10000}, "no limit": {"tokens_per_minute": None}},
    "rotateKey": {"the old token goes on for an hour": {"overlap_s": 3600}},
}

_USAGE = UsageObject(5, 2, 7, PromptTokensDetails(0))
_LOGPROBS = Logprobs([" there", " was"], [-0.25, -0.5], [{" there": -0.25}, {" was": -0.5}], [16, 22])
_COMPLETION = CompletionObject(
    id="cmpl-0123456789abcdef0123456789abcdef",
    created=1767225600,
    model="ensue-tiny",
    system_fingerprint="fp_0123456789",
    choices=[ChoiceObject(0, " there was", _LOGPROBS, "length", None)],
    usage=_USAGE,
)
_CHAT = ChatObject(
    id="chatcmpl-0123456789abcdef0123456789abcdef",
    created=1767225600,
    model="ensue-tiny",
    system_fingerprint="fp_0123456789",
    choices=[ChatChoiceObject(0, MessageObject(content="The capital of France is Paris."), None, "stop", None)],
    usage=_USAGE,
)
_CALL = ToolCallObject("call_0123456789abcdef01234567", FunctionObject("get_weather", '{"city": "Rome"}'))
_CALLING = ChatChoiceObject(0, MessageObject(content=None, tool_calls=[_CALL]), None, "tool_calls", None)
_MODEL = ModelObject(
    id="ensue-tiny",
    created=1767225600,
    root="ensue-tiny",
    max_model_len=1024,
    default_sampling_params={"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
)
_KEY: dict[str, Any] = {
    "id": "key_0123456789abcdef",
    "name": "web",
    "owner": "",
    "hint": "x4Qz",
    "state": "active",
    "scopes": ["chat"],
    "models": ["*"],
    "requests_per_minute": 60,
    "tokens_per_minute": None,
    "concurrent": None,
    "token_budget": None,
    "token_budget_per_day": None,
    "token_budget_per_month": None,
    "max_tokens": None,
    "max_n": None,
    "priority": 0,
    "not_before": None,
    "expires_at": 1769817600,
    "allow_ips": [],
    "created_at": 1767225600,
    "revoked_at": None,
    "disabled": False,
    "maker": None,
    "old_until": None,
}
_WITH_TOKEN = KeyWithToken(**_KEY, key="sk-ensue-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")
_SUM = UsageSum(
    day="2026-01-31",
    key_id="key_0123456789abcdef",
    key_name="web",
    model="ensue-tiny",
    requests=3,
    prompt_tokens=30,
    cached_tokens=0,
    completion_tokens=48,
    total_tokens=78,
)
_RECORD = AuditObject(
    number=7,
    at="2026-01-31T12:00:00Z",
    event="key_created",
    actor="key_fedcba9876543210",
    target="key_0123456789abcdef",
    details={"name": "web", "scopes": ["chat"]},
    hash="0123456789abcdef" * 4,
)


def _piece(text: str, reason: str | None) -> CompletionObject:
    choices = [ChoiceObject(0, text, None, reason, None, msgspec.UNSET, msgspec.UNSET, msgspec.UNSET)]
    return msgspec.structs.replace(_COMPLETION, choices=choices, usage=msgspec.UNSET)


def _chunk(delta: DeltaObject, reason: str | None) -> ChatChunkObject:
    return ChatChunkObject(
        id=_CHAT.id,
        created=_CHAT.created,
        model=_CHAT.model,
        system_fingerprint=_CHAT.system_fingerprint,
        choices=[ChatChunkChoice(0, delta, finish_reason=reason)],
    )


def _stream(*events: msgspec.Struct) -> str:
    return (b"".join(map(event, events)) + DONE).decode()


_ANSWERS: dict[str, dict[str, Any]] = {
    "createCompletion": {"a text with logprobs": _COMPLETION},
    "createCompletion.events": {"a stream": _stream(_piece(" there", None), _piece(" was", "length"))},
    "createChatCompletion": {
        "a text": _CHAT,
        "a call": msgspec.structs.replace(_CHAT, choices=[_CALLING]),
    },
    "createChatCompletion.events": {
        "a stream": _stream(
            _chunk(DeltaObject(role="assistant", content=""), None),
            _chunk(DeltaObject(content="Paris."), None),
            _chunk(DeltaObject(), "stop"),
        )
    },
    "tokenize": {"a text": TokenizeObject(2, 1024, [302, 290], None)},
    "detokenize": {"a text": DetokenizeObject("Once upon")},
    "getTokenizerInfo": {
        "a model": TokenizerInfo(
            tokenizer_class="PreTrainedTokenizerFast",
            bos_token="<|begin_of_text|>",  # noqa: S106
            eos_token="<|end_of_text|>",  # noqa: S106
            pad_token=None,
            unk_token=None,
            chat_template=None,
        )
    },
    "listModels": {"one model": ModelList(data=[_MODEL])},
    "getModel": {"a model": _MODEL},
    "getHealth": {"it answers": HealthObject()},
    "getReadiness": {"it is ready": ReadyObject()},
    "getVersion": {
        "loaded": VersionObject(
            version="1.0.0",
            model="ensue-tiny",
            fingerprint="fp_0123456789",
            row_independent=True,
            self_test=SelfTestObject("bf16_packed", True, 1, None, 0.2),
            dtype="bfloat16",
            device="cpu",
        )
    },
    "listKeys": {"one key": KeyList(data=[KeyObject(**_KEY)])},
    "createKey": {"a key with its token": _WITH_TOKEN},
    "getKey": {"a key": KeyObject(**_KEY)},
    "updateKey": {"a key": KeyObject(**(_KEY | {"tokens_per_minute": 10000}))},
    "deleteKey": {"a key that is ended": KeyObject(**(_KEY | {"state": "revoked", "revoked_at": 1767229200}))},
    "rotateKey": {"a key with its token": _WITH_TOKEN},
    "listUsage": {"one row": UsageList(data=[_SUM])},
    "listAuditRecords": {"one record": AuditList(data=[_RECORD])},
}
ANSWERS: Examples = msgspec.to_builtins(_ANSWERS)
