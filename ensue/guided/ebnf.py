"""The bones of a grammar, whatever notation it came in: rules that are made of texts and of one another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import MAX_NESTING

MAX_REPEATS = 10_000


@dataclass(frozen=True, slots=True)
class Text:
    """What a lexer reads: a string, a class, a regex; in the spelling of Lark."""

    lark: str


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    at: int  # offset in the source


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    item: Node
    least: int
    most: int | None  # None: no bound


Node = Text | Ref | Sequence | Choice | Repeat
Rules = Mapping[str, Node]


class Token(NamedTuple):
    kind: str
    text: str
    at: int


def complaint(source: str, at: int, message: str) -> InvalidGrammar:
    """An error at an offset of the source; lines and columns count from 1."""
    before = source[:at]
    return InvalidGrammar(f"Line {before.count(chr(10)) + 1}, column {at - before.rfind(chr(10))}: {message}")


class Tokens:
    """The tokens of a source, one after the other."""

    def __init__(self, source: str, pattern: re.Pattern[str]) -> None:
        """
        Args:
            pattern: one named group per kind of token; what the group `skip` matches is left out.
        """
        self.source = source
        self._tokens = list(_scan(source, pattern))
        self._next = 0
        self._depth = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._next].kind

    @property
    def text(self) -> str:
        return self._tokens[self._next].text

    def peek(self, ahead: int) -> str:
        """The kind of a later token."""
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)].kind

    def is_at_alternative(self) -> bool:
        """Whether a | follows, which may stand on a later line; lines before it are taken."""
        ahead = self._next
        while self._tokens[ahead].kind == "line":
            ahead += 1
        if self._tokens[ahead].text == "|":
            self._next = ahead
        return self._tokens[ahead].text == "|"

    def skip_lines(self) -> None:
        while self.kind == "line":
            self.take()

    def take(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def expect(self, kind: str, wanted: str) -> Token:
        if self.kind != kind:
            raise self.wrong(f"{wanted} was expected here.")
        return self.take()

    def wrong(self, message: str) -> InvalidGrammar:
        """An error at the next token."""
        return complaint(self.source, self._tokens[self._next].at, message)

    @property
    def nesting(self) -> int:
        """How many groups lie within each other at most."""
        steps = ((token.text in ("(", "[")) - (token.text in (")", "]")) for token in self._tokens)
        return max(accumulate(steps, initial=0))

    @property
    def is_in_group(self) -> bool:
        return self._depth > 1

    def deeper(self, by: int) -> None:
        self._depth += by
        if self._depth > MAX_NESTING:
            raise self.wrong(f"Groups are nested deeper than {MAX_NESTING}.")


def _scan(source: str, pattern: re.Pattern[str]) -> Iterator[Token]:
    at = 0
    while at < len(source):
        found = pattern.match(source, at)
        if not found or found.end() == at:
            raise complaint(source, at, "This cannot be read.")
        if found.lastgroup != "skip":
            yield Token(str(found.lastgroup), found[0], at)
        at = found.end()
    yield Token("end", "", len(source))


def read_choice(tokens: Tokens, read_sequence: Callable[[Tokens], Node]) -> Node:
    """Alternatives, up to what belongs to none of them."""
    tokens.deeper(1)
    items = [read_sequence(tokens)]
    while tokens.is_at_alternative():
        tokens.take()
        items.append(read_sequence(tokens))
    tokens.deeper(-1)
    return Choice(tuple(items))


def check(source: str, rules: Rules, start: str) -> None:
    """Refuse names without a rule, and grammars that no finite text satisfies.

    Raises:
        InvalidGrammar: as said; with line and column where there is a place.
    """
    if start not in rules:
        raise InvalidGrammar(f"The grammar has no rule named {start}.")
    for node in rules.values():
        for ref in _refs(node):
            if ref.name not in rules:
                raise complaint(source, ref.at, "There is no rule with this name.")
    if start not in _productive(rules):
        raise InvalidGrammar("No text that ever ends satisfies the grammar: its recursion has no way out.")


def _refs(node: Node) -> Iterator[Ref]:
    if isinstance(node, Ref):
        yield node
    elif isinstance(node, Repeat):
        yield from _refs(node.item)
    elif not isinstance(node, Text):
        for item in node.items:
            yield from _refs(item)


def _productive(rules: Rules) -> set[str]:
    """The rules that some finite text satisfies: the least fixed point."""
    found: set[str] = set()
    while more := {name for name, node in rules.items() if name not in found and _can_end(node, found)}:
        found |= more
    return found


def _can_end(node: Node, found: set[str]) -> bool:
    if isinstance(node, Ref):
        return node.name in found
    if isinstance(node, Repeat):
        return node.least == 0 or _can_end(node.item, found)
    if isinstance(node, Sequence):
        return all(_can_end(item, found) for item in node.items)
    return isinstance(node, Text) or any(_can_end(item, found) for item in node.items)
