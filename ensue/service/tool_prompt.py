"""Tools for models whose chat template knows none: said in the messages, in the words of Hermes's format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ensue.service.message_text import text_of

Message = Mapping[str, Any]

_PROMPT = """You may call these functions:
<tools>
{tools}
</tools>
To call one, answer with its name and its arguments, as JSON between tags:
<tool_call>
{{"name": ..., "arguments": {{...}}}}
</tool_call>"""


def with_tools(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], *, takes_system: bool) -> list[Message]:
    """The tools behind what the system says, or before what the user does where the template takes no system."""
    prompt = _PROMPT.format(tools="\n".join(map(_json, tools)))
    first, *others = messages
    if first["role"] in ("system", "developer"):
        return [{**first, "content": f"{text_of(first['content'])}\n\n{prompt}"}, *others]
    if takes_system:
        return [{"role": "system", "content": prompt}, *messages]
    if first["role"] == "user":
        return [{**first, "content": f"{prompt}\n\n{text_of(first['content'])}"}, *others]
    return [{"role": "user", "content": prompt}, *messages]


def calls_as_text(message: Message) -> Message:
    """A message of the assistant, its calls as it would write them."""
    calls = [f"<tool_call>\n{_json(call['function'])}\n</tool_call>" for call in message["tool_calls"]]
    others = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**others, "content": "\n".join([*filter(None, [text_of(message["content"])]), *calls])}


def result_as_text(message: Message) -> Message:
    """What a tool answered, as the user would pass it on."""
    return {"role": "user", "content": f"<tool_response>\n{text_of(message['content'])}\n</tool_response>"}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
