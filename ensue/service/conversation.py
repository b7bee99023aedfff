"""Messages that a chat template makes a prompt of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ensue.text.chat_template import ChatTemplate


@dataclass(frozen=True, slots=True)
class Conversation:
    """Checked messages, and how they are rendered."""

    template: ChatTemplate
    messages: Sequence[Mapping[str, Any]]
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)  # a caller's, for the template

    def render(self) -> str:
        """The prompt. Takes time, so it belongs off the event loop.

        Raises:
            InvalidRequest: the template refuses these messages.
        """
        return self.template.render(
            [self._named(message) for message in self.messages],
            add_generation_prompt=self.add_generation_prompt,
            continue_final_message=self.continue_final_message,
            **self.variables,
        )

    def _named(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """OpenAI's later word for `system` is `developer`, which most templates don't know."""
        if message["role"] == "developer" and "developer" not in self.template.source:
            return {**message, "role": "system"}
        return message
