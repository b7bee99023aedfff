"""Messages that a chat template makes a prompt of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ensue.service.message_text import text_of
from ensue.service.tool_prompt import calls_as_text, result_as_text, with_tools
from ensue.text.chat_template import ChatTemplate
from ensue.tools import Tool

Message = Mapping[str, Any]


def _with_text(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """A past call, its arguments as JSON."""
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Checked messages, and how they are rendered."""

    template: ChatTemplate
    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)  # a caller's, for the template

    def render(self) -> str:
        """The prompt. Takes time, so it belongs off the event loop.

        Raises:
            InvalidRequest: the template refuses these messages.
        """
        messages, tools = self.messages, [tool.shown for tool in self.tools]
        if tools and not self._template.reads_tools:
            messages = with_tools(messages, tools, takes_system=self._template.takes_system)
        return self._template.render(
            [self._as_read(message) for message in messages],
            tools=tools or None,
            add_generation_prompt=self.add_generation_prompt,
            continue_final_message=self.continue_final_message,
            **self.variables,
        )

    @property
    def _template(self) -> ChatTemplate:
        return self.template.for_tools if self.tools else self.template

    def _as_read(self, message: Message) -> Message:
        """A message in the words that the template knows."""
        source = self._template.source
        if message["role"] == "developer" and "developer" not in source:  # OpenAI's later word for `system`
            message = {**message, "role": "system"}
        elif message["role"] == "tool" and "tool" not in source:
            message = result_as_text(message)
        elif "tool_calls" in message and "tool_calls" not in source:
            message = calls_as_text(message)
        elif "tool_calls" in message and self._template.reads_arguments_as_text:
            message = {**message, "tool_calls": [_with_text(call) for call in message["tool_calls"]]}
        if self._takes(message["content"]):
            return message
        return {**message, "content": self._content(message["content"])}

    def _takes(self, content: str | list[dict[str, str]] | None) -> bool:
        if content is None:
            return True
        if isinstance(content, str):
            return self._template.reads_texts
        return self._template.reads_parts

    def _content(self, content: str | list[dict[str, str]]) -> str | list[dict[str, str]]:
        return [{"type": "text", "text": content}] if isinstance(content, str) else text_of(content)
