"""Tools for models whose chat template knows none: said in the messages, in the words of Hermes's format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]

_PROMPT = """You may call these functions:
<tools>
{tools}
</tools>
To call one, answer with its name and its arguments, as JSON between tags:
<tool_call>
{{"name": ..., "arguments": {{...}}}}
</tool_call>"""


def with_tools(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The tools behind what the system says."""
    prompt = _PROMPT.format(tools="\n".join(map(_json, tools)))
    first = messages[0]
    if first["role"] == "system" and isinstance(first["content"], str):
        return [{**first, "content": f"{first['content']}\n\n{prompt}"}, *messages[1:]]
    return [{"role": "system", "content": prompt}, *messages]


def calls_as_text(message: Message) -> Message:
    """A message of the assistant, its calls as it would write them."""
    calls = [f"<tool_call>\n{_json(call['function'])}\n</tool_call>" for call in message["tool_calls"]]
    others = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**others, "content": "\n".join([*filter(None, [message["content"]]), *calls])}


def result_as_text(message: Message) -> Message:
    """What a tool answered, as the user would pass it on."""
    return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
