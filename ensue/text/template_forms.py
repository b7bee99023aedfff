"""The forms in which a chat template is given messages and tools: the usual one, and others where it fails at a gap.

Templates disagree about an assistant's message that is nothing but calls, and about tools without a description: some
ask whether a key is there, some compare it with null, some take it for a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Objects = Sequence[Mapping[str, Any]]

# A past call for which templates differ, too: most write its arguments as JSON, some take them for a text that is JSON.
PROBED_NAME, PROBED_ARGUMENTS = "probed", {"key_of_probe": "value"}
PROBED_TEXT, PROBED_PARTS = "text", [{"type": "text", "text": "text"}]
PROBED_ID = "id0123456"  # nine letters and digits, as Mistral's templates want them


def forms(messages: Objects, tools: Objects | None) -> Iterator[tuple[Objects, Objects | None]]:
    """Messages and tools, the usual form first."""
    told = [_with_reasoning(message) for message in messages]
    yield [{key: value for key, value in message.items() if value is not None} for message in told], tools
    has_gap = any(_lacks_content(message) for message in told)
    if has_gap:
        yield told, tools
    if has_gap or any("description" not in tool["function"] for tool in tools or ()):
        filled = [{**message, "content": ""} if _lacks_content(message) else message for message in told]
        yield filled, tools and _described(tools)


def probed_conversation(arguments: Any) -> Objects:
    """A conversation with a past call."""
    call = {"id": PROBED_ID, "type": "function", "function": {"name": PROBED_NAME, "arguments": arguments}}
    return [
        {"role": "user", "content": "user"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "result", "name": PROBED_NAME, "tool_call_id": PROBED_ID},
    ]


def _with_reasoning(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Under both of the names that templates read."""
    reasoning = message.get("reasoning_content")
    return message if reasoning is None else {"thinking": reasoning, **message}


def _lacks_content(message: Mapping[str, Any]) -> bool:
    return message.get("content", "") is None


def _described(tools: Objects) -> Objects:
    return [{**tool, "function": {"description": "", **tool["function"]}} for tool in tools]
