"""The `pattern`s of JSON Schema, written in ECMA's syntax, as regexes of Rust's syntax that match no more.

Readers disagree on what a class holds: ECMA's \\d is ASCII, Python's is Unicode. The translation takes what all agree
on, so that a text passes whichever reader checks it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ensue.errors import InvalidGrammar

_WORD = r"\p{Alphabetic}\p{M}\p{N}\p{Pc}\p{Join_Control}"
_SPACE = r"\p{White_Space}\x1c-\x1f\x{feff}"
_NARROW = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\n\r\x0b\x0c"}  # all readers agree that these are in
_WIDE = {"d": r"\p{Nd}", "w": _WORD, "s": _SPACE}  # some reader takes these to be in
_NOT_ASCII = r"\x{80}-\x{10ffff}"
_WIDEST = {"d": "0-9" + _NOT_ASCII, "w": "0-9A-Za-z_" + _NOT_ASCII, "s": r" \t\n\r\x0b\x0c\x1c-\x1f" + _NOT_ASCII}
_ANY = r"[^\n\r\x{2028}\x{2029}]"
_ANY_WIDE = r"[^\n]"
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_QUANTIFIER = re.compile(r"\{\d+(,\d*)?\}")
_REPEAT = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_UP_TO = re.compile(r"\{,\d+\}")
_PROPERTY = re.compile(r"[pP](\{[\w=]+\}|[A-Z])")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")


class _Atom(NamedTuple):
    """One item of a class or one escape: a character, or the inside of a class."""

    code: int | None
    inside: str = ""


def to_rust(pattern: str, *, is_wide: bool = False) -> str:
    """Translate a pattern.

    Args:
        is_wide: match all that any reader matches, not only what all of them do.

    Raises:
        InvalidGrammar: look-around, back-references and escapes that nobody knows.
    """
    return _Translation(pattern, _WIDE if is_wide else None).run()


def to_widest(pattern: str) -> str:
    """Match all that any reader matches; classes hold all that is not ASCII, so that no table of Unicode is needed.

    Raises:
        InvalidGrammar: as `to_rust`, and properties of Unicode.
    """
    if "\\p" in pattern or "\\P" in pattern:
        raise InvalidGrammar("Readers disagree on properties of Unicode.")
    return _Translation(pattern, _WIDEST).run()


class _Translation:
    def __init__(self, pattern: str, wide: dict[str, str] | None) -> None:
        self._pattern = pattern
        self._is_wide = wide is not None
        self._wide = wide or _WIDE
        self._at = 0

    def run(self) -> str:
        out = []
        while self._at < len(self._pattern):
            out.append(self._next())
        return "".join(out)

    def _next(self) -> str:
        rest = self._pattern[self._at : self._at + 4]
        if rest.startswith(_LOOK_AROUND):
            raise InvalidGrammar("Look-around is not supported in patterns.")
        character = self._take()
        if character in "*+?{":
            self._check_repeat()
        if character == "\\":
            atom = self._escape(is_wide=self._is_wide)
            return f"[{atom.inside}]" if atom.code is None else _literal(atom.code)
        if character == "[":
            return self._class()
        if character == ".":
            return _ANY_WIDE if self._is_wide else _ANY
        if character == "$" and self._is_wide:
            return r"\n?$"  # Python's also stands before a last line end
        if character == "{" and (found := _QUANTIFIER.match(self._pattern, self._at - 1)):
            self._at = found.end()
            return found[0]
        return "\\" + character if character in "{}]" else character

    def _check_repeat(self) -> None:
        """Refuse what some readers take for a possessive quantifier, others for two, or for none."""
        start = self._at - 1
        if _UP_TO.match(self._pattern, start):
            raise InvalidGrammar("Readers of patterns disagree on {,n}: write {0,n}.")
        found = _REPEAT.match(self._pattern, start)
        if found is not None and _REPEAT.match(self._pattern, found.end()):
            raise InvalidGrammar("A quantifier follows another one in the pattern.")

    def _take(self) -> str:
        if self._at >= len(self._pattern):
            raise InvalidGrammar("The pattern ends within an escape or a class.")
        self._at += 1
        return self._pattern[self._at - 1]

    def _class(self) -> str:
        is_negated = self._pattern.startswith("^", self._at)
        self._at += is_negated
        items = []
        while not self._pattern.startswith("]", self._at):
            items.append(self._item(is_negated))
        self._at += 1
        if not items:
            raise InvalidGrammar("A class of a pattern is empty.")
        return f"[{'^' * is_negated}{''.join(items)}]"

    def _item(self, is_negated: bool) -> str:
        first = self._atom(is_negated)
        if first.code is None:
            return first.inside
        if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
            self._at += 1
            last = self._atom(is_negated)
            if last.code is None:
                return _literal(first.code) + _literal(ord("-")) + last.inside
            return f"{_literal(first.code)}-{_literal(last.code)}"
        return _literal(first.code)

    def _atom(self, is_negated: bool) -> _Atom:
        character = self._take()
        if character != "\\":
            return _Atom(ord(character))
        if self._pattern.startswith("b", self._at):
            self._at += 1
            return _Atom(8)
        return self._escape(is_wide=is_negated != self._is_wide)

    def _escape(self, is_wide: bool) -> _Atom:
        """
        Args:
            is_wide: it must hold all that any reader takes to be in, as where the class around it is negated.
        """
        if code := _CODE.match(self._pattern, self._at):
            self._at = code.end()
            return _Atom(_scalar(int(code[1] or code[2] or code[3], 16)))
        if found := _PROPERTY.match(self._pattern, self._at):
            self._at = found.end()
            return _Atom(None, "\\" + found[0])
        character = self._take()
        if character.lower() in _NARROW:
            return _Atom(None, self._class_of(character, is_wide=is_wide))
        if character in _CONTROLS:
            return _Atom(_CONTROLS[character])
        if character == "c" and self._pattern[self._at : self._at + 1].isalpha():
            return _Atom(ord(self._take()) % 32)
        if character in "123456789k":
            raise InvalidGrammar("Back-references are not supported in patterns.")
        if character in "bB":
            raise InvalidGrammar("Word boundaries are not supported in patterns.")
        if character.isalnum():
            raise InvalidGrammar("The pattern has an escape that is not known.")
        return _Atom(ord(character))

    def _class_of(self, letter: str, *, is_wide: bool) -> str:
        """The inside of a class for one of dDwWsS."""
        if letter.islower():
            return (self._wide if is_wide else _NARROW)[letter]
        return f"[^{(_NARROW if is_wide else self._wide)[letter.lower()]}]"


def _scalar(code: int) -> int:
    if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        raise InvalidGrammar("The pattern has an escape that is no character.")
    return code


def _literal(code: int) -> str:
    """A character that means itself wherever it stands."""
    character = chr(code)
    return character if character.isascii() and character.isalnum() else f"\\x{{{_scalar(code):x}}}"
