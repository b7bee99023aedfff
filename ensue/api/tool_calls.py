"""Calls of tools as answers and events of a chat show them."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence

from ensue.api.protocol import DeltaObject, FunctionDelta, FunctionObject, MessageObject, ToolCallDelta, ToolCallObject
from ensue.guided.tool_grammar import ToolUse
from ensue.text.tool_calls import CallArguments, CallBegin, Content, Piece, ToolCallParser
from ensue.tools import FormatName

_LETTERS = string.ascii_letters + string.digits
MISTRAL_ID_LENGTH = 9  # its templates refuse any other


class CallReader:
    """Follows the text of one choice."""

    def __init__(self, use: ToolUse) -> None:
        self._parser = ToolCallParser(use.format, has_text=not use.is_forced, is_either=use.answer is not None)
        self._format = use.format.name

    def deltas(self, text: str, *, is_last: bool) -> list[DeltaObject]:
        """What is new in a message."""
        return [self._delta(piece) for piece in self._read(text, is_last=is_last)]

    def message(self, text: str, echoed: str) -> MessageObject:
        """The message of a whole text; its content is null where there are only calls."""
        pieces = self._read(text, is_last=True)
        content = echoed + "".join(piece.text for piece in pieces if isinstance(piece, Content))
        calls = [self._call(piece, pieces) for piece in pieces if isinstance(piece, CallBegin)]
        return MessageObject(content=content or None, tool_calls=calls) if calls else MessageObject(content=content)

    def finish_reason(self, reason: str) -> str:
        """A text that ended by itself after calls ended because of them."""
        return "tool_calls" if reason == "stop" and self._parser.num_calls else reason

    def _read(self, text: str, *, is_last: bool) -> list[Piece]:
        pieces = self._parser.feed(text)
        return [*pieces, *self._parser.flush()] if is_last else pieces

    def _delta(self, piece: Piece) -> DeltaObject:
        match piece:
            case Content(text):
                return DeltaObject(content=text)
            case CallBegin(index, name, own_id):
                call = ToolCallDelta(index, FunctionDelta("", name), own_id or call_id(self._format), "function")
            case CallArguments(index, text):
                call = ToolCallDelta(index, FunctionDelta(text))
        return DeltaObject(tool_calls=[call])

    def _call(self, begin: CallBegin, pieces: Sequence[Piece]) -> ToolCallObject:
        own = (piece for piece in pieces if isinstance(piece, CallArguments) and piece.index == begin.index)
        arguments = "".join(piece.text for piece in own)
        return ToolCallObject(begin.call_id or call_id(self._format), FunctionObject(begin.name, arguments))


def call_id(form: FormatName) -> str:
    if form == "mistral":
        return "".join(secrets.choice(_LETTERS) for _ in range(MISTRAL_ID_LENGTH))
    return f"call_{secrets.token_hex(12)}"
