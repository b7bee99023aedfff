"""The messages of a chat: what each role may say, checked and put into the form that chat templates read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ensue.api import strict_json
from ensue.api.fields import ListOf, Schema, Text, object_schema, or_null
from ensue.errors import InvalidRequest, UnsupportedParameter, shown

Message = dict[str, Any]
Messages = tuple[Message, ...]

MAX_DEPTH = 64  # of the arguments of a past call
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
FOREIGN_PARTS = ("image_url", "input_audio", "audio_url", "video_url", "file", "refusal")
# Keys of a message, and those that OpenAI's own objects have beside them; the latter must be null or empty.
KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "reasoning")
EMPTY: tuple[Any, ...] = (None, "", [], {})
EMPTY_KEYS = ("refusal", "annotations", "audio", "function_call")
PART_KEYS = ("type", "text", "prompt_cache_breakpoint")  # the last has no effect: all prompts are cached
RESERVED_VARIABLES = frozenset(
    (
        "self",
        "messages",
        "add_generation_prompt",
        "continue_final_message",
        "tools",
        "documents",
        "chat_template",
        "tokenize",
    )
)


PART = object_schema(
    {
        "type": {"const": "text"},
        "text": {"type": "string"},
        "prompt_cache_breakpoint": {"description": "No effect: all prompts are cached"},
    },
    ["type", "text"],
    has_null_others=True,
)
CONTENT: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "minItems": 1, "items": {"anyOf": [PART, {"type": "string"}]}},
    ]
}
ARGUMENTS: Schema = {"anyOf": [{"type": "string", "contentMediaType": "application/json"}, {"type": "object"}]}
CALL: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "null"]},
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "arguments": or_null(ARGUMENTS)},
            "required": ["name"],
        },
    },
    "required": ["function"],
}


class MessagesKind:
    """A list of messages; a content is a text, or a list of its parts."""

    schema: ClassVar[Schema] = {
        "type": "array",
        "minItems": 1,
        "items": object_schema(
            {
                "role": {"enum": list(ROLES), "description": "Who speaks"},
                "content": CONTENT | {"description": "What is said; null only beside tool_calls"},
                "name": {"type": "string", "description": "Of who speaks, for the template"},
                "tool_calls": {"type": "array", "items": CALL, "description": "Past calls of the assistant"},
                "tool_call_id": {
                    "type": "string",
                    "description": "Of a tool's result: whose it is",
                },
                "reasoning_content": {"type": "string", "description": "For templates that show it"},
                "reasoning": {"type": "string", "description": "Another name of reasoning_content"},
                **{name: {"enum": list(EMPTY), "description": "Not served"} for name in EMPTY_KEYS},
            },
            ["role"],
        ),
    }

    def parse(self, value: Any, path: str) -> Messages:
        if not isinstance(value, list) or not value:
            raise InvalidRequest(f"{path} must be a list of at least one message.", param=path)
        return tuple(_message(item, f"{path}[{index}]") for index, item in enumerate(value))


MESSAGES = MessagesKind()


class VariablesKind:
    """An object of variables for the chat template; what the server itself passes is reserved."""

    schema: ClassVar[Schema] = {
        "type": "object",
        "propertyNames": {"pattern": r"^[^\W\d]\w*$", "not": {"enum": sorted(RESERVED_VARIABLES)}},
    }

    def parse(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidRequest(f"{path} must be an object.", param=path)
        for name in value:
            if name in RESERVED_VARIABLES or not name.isidentifier():
                place = f"{path}.{shown(name)}"
                raise InvalidRequest("That variable of a chat template is not for requests to set.", param=place)
        return value


TEMPLATE_VARIABLES = VariablesKind()


def _message(value: Any, path: str) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object with role and content.", param=path)
    role = value.get("role")
    if role not in ROLES:
        raise InvalidRequest(f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role")
    for name in EMPTY_KEYS:
        if value.get(name) not in EMPTY:
            raise UnsupportedParameter(f"This server does not support {name} in messages.", param=f"{path}.{name}")
    message: Message = {"role": role, "content": _content(value.get("content"), f"{path}.content")}
    for name in ("name", "tool_call_id", "reasoning", "reasoning_content"):
        if value.get(name) is not None:
            message[name] = Text().parse(value[name], f"{path}.{name}")
    if "reasoning" in message:  # vLLM's later word for `reasoning_content`
        message.setdefault("reasoning_content", message.pop("reasoning"))
    if value.get("tool_calls") not in (None, []):
        message["tool_calls"] = _tool_calls(value["tool_calls"], role, f"{path}.tool_calls")
    if message["content"] is None and "tool_calls" not in message:
        raise InvalidRequest(f"{path}.content is required.", param=f"{path}.content")
    return message


def _content(value: Any, path: str) -> str | list[dict[str, str]] | None:
    if isinstance(value, str | None):
        return value
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"{path} must be a text or a list of parts.", param=path)
    return [{"type": "text", "text": _part(part, f"{path}[{index}]")} for index, part in enumerate(value)]


def _part(value: Any, path: str) -> str:
    if isinstance(value, str):  # as vLLM takes it
        return value
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in FOREIGN_PARTS:
        raise UnsupportedParameter("This server reads text only: parts of type text.", param=f"{path}.type")
    if kind != "text":
        raise InvalidRequest(f"{path} must be a part of type text.", param=f"{path}.type")
    unknown = next((name for name, item in value.items() if name not in PART_KEYS and item is not None), None)
    if unknown is not None:
        place = f"{path}.{shown(unknown)}"
        raise UnsupportedParameter("Parts of type text have no more than type and text.", param=place)
    return Text().parse(value.get("text"), f"{path}.text")


def _tool_calls(value: Any, role: str, path: str) -> list[dict[str, Any]]:
    if role != "assistant":
        raise InvalidRequest("Only messages of the assistant have tool_calls.", param=path)
    calls = ListOf(_Call()).parse(value, path)
    return list(calls)


class _Call:
    """One call of a tool in the past; templates read its arguments as an object."""

    schema: ClassVar[Schema] = {"type": "object"}

    def parse(self, value: Any, path: str) -> dict[str, Any]:
        function = value.get("function") if isinstance(value, dict) else None
        if not isinstance(function, dict):
            raise InvalidRequest(f"{path} must be an object with a function.", param=path)
        name = Text().parse(function.get("name"), f"{path}.function.name")
        arguments = _arguments(function.get("arguments"), f"{path}.function.arguments")
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        return call if value.get("id") is None else {"id": Text().parse(value["id"], f"{path}.id"), **call}


def _arguments(value: Any, path: str) -> Mapping[str, Any]:
    try:
        arguments = strict_json.parse((value or "{}").encode(), MAX_DEPTH) if isinstance(value, str | None) else value
    except InvalidRequest:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{path} must be a JSON object, as a text.", param=path)
    return arguments
