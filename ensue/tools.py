"""Tools that a model may call, and how its calls look in its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

FormatName = Literal["llama3", "hermes", "mistral"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the caller can run."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None  # a JSON schema; None: it takes none

    @property
    def shown(self) -> dict[str, Any]:
        """As chat templates read it, in OpenAI's shape."""
        function: dict[str, Any] = {"name": self.name}
        if self.description is not None:
            function["description"] = self.description
        return {
            "type": "function",
            "function": {**function, "parameters": NO_PARAMETERS if self.parameters is None else self.parameters},
        }


NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Marker:
    """A text that shows where something begins."""

    text: str
    token_id: int | None = None  # where a special token is this marker: then ordinary text cannot spell it


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How calls look: an opening and a batch of calls, the two of them once or more often.

    A call is an object {"name": …, arguments key: …}, or a name, maybe a marker and an id, a marker and the arguments.
    """

    name: FormatName
    opening: Marker
    arguments: str | Marker  # the key of the arguments, or the marker before them
    gap: str = ""  # before each further opening
    before: str = ""  # before the first call of a batch, between its calls (None: it has only one), and after the last
    between: str | None = None
    after: str = ""
    call_id: Marker | None = None
    is_bare: bool = False  # calls with which the answer begins need no opening

    @property
    def markers(self) -> tuple[Marker, ...]:
        own = (self.opening, self.call_id, self.arguments)
        return tuple(marker for marker in own if isinstance(marker, Marker))


@dataclass(frozen=True, slots=True)
class ToolSupport:
    """How a model is told of tools, and how it calls them."""

    format: CallFormat
    is_known: bool = True  # the format is the model's own, as far as its files or the settings say
