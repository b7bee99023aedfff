"""The constraint of a request: proved before anything is generated, and asked where a stop string may end a text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ensue.errors import GenerationFailed, InvalidGrammar, UnsupportedParameter
from ensue.guided.backend import WORKER, Matcher
from ensue.guided.constraint import WHITESPACE, Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.payload import built_in_form
from ensue.guided.prover import Prover
from ensue.guided.tool_grammar import ANSWER, as_text
from ensue.guided.vocabulary import BYTES
from ensue.request import CompiledGrammar


@dataclass(frozen=True, slots=True)
class Guided:
    """A constraint, and the fields that it came from: errors name them."""

    constraint: Constraint
    field: str
    whitespace_field: str = "guided_whitespace_pattern"
    answer_field: str = ""  # of what a text must satisfy that calls no tools


async def prove(guided: Guided, prover: Prover | None, owner: str = "") -> CompiledGrammar:
    """
    Args:
        owner: in whose turn, where several wait.

    Raises:
        InvalidGrammar: with the place in `param`.
        UnsupportedParameter: nothing proves constraints for this model.
        Overloaded: too many wait.
    """
    if prover is None:
        raise UnsupportedParameter("This server does not support guided decoding.", param=guided.field)
    try:
        return await prover.prove(guided.constraint, owner)
    except InvalidGrammar as error:
        raise InvalidGrammar(error.message, param=_param(guided, error.param)) from None


def _param(guided: Guided, place: str | None) -> str:
    if place == WHITESPACE:
        return guided.whitespace_field
    if place is None or place.startswith("["):
        return guided.field + (place or "")
    if guided.answer_field and place.startswith(ANSWER):
        return guided.answer_field + place.removeprefix(ANSWER)
    return f"{guided.field}.{place}"


def _as_text(grammar: CompiledGrammar) -> CompiledGrammar:
    """The grammar for the built-in backend, its special tokens as the text that they show."""
    source = built_in_form(grammar)
    return replace(source, payload=as_text(source.payload.decode()).encode())


class TextCheck:
    """Whether the beginning of a text satisfies a constraint. Reads bytes, whatever the tokens were."""

    def __init__(self, grammar: CompiledGrammar) -> None:
        self._grammar = grammar
        self._text = ""
        self._matcher: Matcher | None = None  # has read [0, num_read) of the text; made when it is first asked
        self._num_read = 0

    def add(self, text: str) -> None:
        self._text += text

    def may_end_at(self, num_chars: int) -> bool:
        """Whether the first so many characters satisfy the constraint."""
        if self._matcher is None or num_chars < self._num_read:
            self._matcher, self._num_read = LlguidanceBackend(BYTES, WORKER).load(_as_text(self._grammar)), 0
        try:
            for byte in self._text[self._num_read : num_chars].encode():
                self._matcher.accept(byte)
        except GenerationFailed:
            return False
        self._num_read = num_chars
        return self._matcher.is_accepting
