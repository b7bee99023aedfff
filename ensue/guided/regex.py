"""Regexes in Rust's syntax, before a library reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import MAX_NESTING
from ensue.guided.verbose import without_comments

_WORD = r"\w\p{N}"  # what anyone takes for a word's characters: Python counts ² among them
_SPACE = r"\s\x1c-\x1f"
_ANYTHING = r"(?s:.)*"
# The inside of a class that stands for an escape, where it adds to what may match, and where it takes away from it.
_ADDING = {"d": "0-9", "w": "0-9A-Za-z_", "W": f"[^{_WORD}]", "S": f"[^{_SPACE}]"}
_TAKING = {"w": _WORD, "s": _SPACE, "D": "[^0-9]", "W": "[^0-9A-Za-z_]"}


class _Piece(NamedTuple):
    """One escape, one character, or what opens a class."""

    text: str
    depth: int  # of groups, or of classes
    takes: bool | None  # whether it takes away from what may match; None: it stands in no class


def narrow(pattern: str) -> str:
    r"""The same regex, but \d, \w and their like hold only what every reader agrees on, whatever its Unicode version.

    So \d is 0 to 9, and \D is no digit of any script.

    Raises:
        InvalidGrammar: groups or classes are nested too deep, or it ends within an escape.
    """
    if nesting_of(pattern) > MAX_NESTING:
        raise InvalidGrammar(f"The regex is nested deeper than {MAX_NESTING} groups.")
    pieces = list(_pieces(without_comments(pattern)))
    if pieces and pieces[-1].text == "\\":  # which the library leaves out without a word
        raise InvalidGrammar("The regex ends within an escape.")
    return "".join(map(_narrowed, pieces))


def nesting_of(pattern: str) -> int:
    """How many groups, or classes, lie within each other."""
    return max((piece.depth for piece in _pieces(pattern)), default=0)


def _pieces(pattern: str) -> Iterator[_Piece]:
    negations: list[bool] = []  # of the classes that are open
    num_groups, at = 0, 0
    while at < len(pattern):
        text = pattern[at : at + 2] if pattern[at] == "\\" else pattern[at]
        if text == "[":
            negations.append(pattern.startswith("^", at + 1))
            text += "^" * negations[-1]
            text += "]" if pattern.startswith("]", at + len(text)) else ""  # a literal one
        elif text == "]" and negations:
            negations.pop()
        elif not negations:
            num_groups += (text == "(") - (text == ")")
        at += len(text)
        yield _Piece(text, max(num_groups, len(negations)), sum(negations) % 2 == 1 if negations else None)


def _narrowed(piece: _Piece) -> str:
    if not piece.text.startswith("\\"):
        return piece.text
    if piece.takes is None:
        return f"[{_ADDING[piece.text[1]]}]" if piece.text[1:] in _ADDING else piece.text
    return (_TAKING if piece.takes else _ADDING).get(piece.text[1:], piece.text)


def escape(text: str) -> str:
    """A regex that matches this text alone, whatever the text.

    Raises:
        InvalidGrammar: half a character, which no text can hold.
    """
    if any("\ud800" <= c < "\ue000" for c in text):
        raise InvalidGrammar("The text holds half a character (a lone surrogate).")
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def avoiding(words: Iterable[str], *, as_prefix: bool = False) -> str:
    """A regex for every text but these.

    Args:
        as_prefix: leave out every text that begins with one of them, too.
    """
    tails: dict[str, list[str]] = {}
    for word in words:
        tails.setdefault(word[:1], []).append(word[1:])
    is_without_empty = tails.pop("", None) is not None
    if is_without_empty and as_prefix:
        return "[^\\x{0}-\\x{10ffff}]"  # nothing at all
    firsts = "".join(map(escape, tails))
    parts = [f"[^{firsts}]{_ANYTHING}" if firsts else f"(?s:.){_ANYTHING}"]
    parts += [escape(first) + avoiding(rest, as_prefix=as_prefix) for first, rest in tails.items()]
    parts += [] if is_without_empty else [""]
    return f"(?:{'|'.join(parts)})"
