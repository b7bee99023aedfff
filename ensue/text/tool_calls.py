"""Find calls of tools in a model's text as it comes: a feed()/flush() machine that never shows a marker.

What comes out, joined, depends on the text alone, not on how it was cut. Reads JSON leniently: what no grammar enforced
may be spaced and ordered in any way. What turns out to be no call is text again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import groupby

from ensue.text.stop import StopMatcher
from ensue.tools import CallFormat, Marker

_SPACES = " \t\n\r"
_ARGUMENTS = ("arguments", "parameters")  # models mix up their families' words
_PLAIN = re.compile(r'[^"{}\[\]]*')  # within an object or a list
_QUOTED = re.compile(r'[^"\\]*')
_SCALAR = re.compile(r'[^"{}\[\],\s]*')
_NAME = re.compile(r"[\w.:/-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Content:
    """Text that belongs to no call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A call of which the name is known; its arguments follow."""

    index: int
    name: str
    call_id: str | None = None  # where the model gives one


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next part of a call's arguments, as the model wrote them."""

    index: int
    text: str


Piece = Content | CallBegin | CallArguments
Take = Callable[[str], None]


class _NoCall(Exception):
    """What was read since the opening is no call."""


class _TextOver(Exception):
    """The text ended within a call."""


class ToolCallParser:
    """Reads one answer. Its methods with underscores are one coroutine, which waits for more text wherever it must."""

    def __init__(self, form: CallFormat, *, has_text: bool = True, is_either: bool = False) -> None:
        """
        Args:
            has_text: whether anything but calls may come; if not, what surrounds them is dropped.
            is_either: calls come from the start on or not at all, whatever a text holds.
        """
        self.num_calls = 0
        self._format = form
        self._has_text = has_text
        self._is_either = is_either
        self._pieces: list[Piece] = []
        self._input, self._at, self._is_over = "", 0, False  # [0, at) of the input was read
        self._spaces = ""  # of the text, not shown yet: those before a call belong to it
        self._is_after_call = False  # and no text since
        self._unsure: list[str] | None = []  # read since the opening, and text if this is no call; None: it is one
        self._is_named = False
        self._run = self._answer()
        next(self._run)

    def feed(self, text: str) -> list[Piece]:
        """Take the next part of the text; returns what is certain."""
        self._input, self._at = self._input[self._at :] + text, 0
        next(self._run)
        return self._taken()

    def flush(self) -> list[Piece]:
        """The text is over."""
        self._is_over = True
        next(self._run)
        return self._taken()

    # ---- what comes out

    def _taken(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return _joined(pieces)

    def _show(self, text: str) -> None:
        """Text that is no call's; spaces wait for what comes after them."""
        whole = self._spaces + text
        shown = whole.rstrip(_SPACES)
        self._spaces = whole[len(shown) :]
        if not shown:
            return
        if self._has_text:
            self._pieces.append(Content(shown.lstrip(_SPACES) if self._is_after_call else shown))
        self._is_after_call = False

    def _begin(self, name: str, call_id: str | None = None) -> Take:
        """Tell of a call; returns what takes its arguments."""
        index = self.num_calls
        self.num_calls += 1
        self._spaces, self._unsure, self._is_after_call = "", None, True
        self._pieces.append(CallBegin(index, name, call_id))
        return lambda text: self._pieces.append(CallArguments(index, text))

    # ---- the answer

    def _answer(self) -> Generator[None, None, None]:
        if self._format.is_bare:
            yield from self._calls(opening="")
        if self._is_either and not self.num_calls and not (yield from self._begins_with(self._format.opening.text)):
            yield from self._text_to_the_end()
        while (yield from self._text_up_to_opening()):
            yield from self._calls(opening=self._format.opening.text)
        if self._spaces and self._has_text and not self._is_after_call:
            self._pieces.append(Content(self._spaces))
        yield

    def _begins_with(self, text: str) -> Generator[None, None, bool]:
        """Whether the rest begins with this, which stays unread."""
        while text.startswith(rest := self._input[self._at :]) and len(rest) < len(text) and not self._is_over:
            yield
        return rest.startswith(text)

    def _text_to_the_end(self) -> Generator[None, None, None]:
        while (yield from self._has_more()):
            text = self._input[self._at :]
            self._at += len(text)
            self._show(text)

    def _text_up_to_opening(self) -> Generator[None, None, bool]:
        """Returns whether there is an opening."""
        matcher = StopMatcher([self._format.opening.text])
        num_fed = 0
        while (yield from self._has_more()):
            text = self._input[self._at :]
            self._at += len(text)
            num_fed += len(text)
            self._show(matcher.feed(text))
            if matcher.matched is not None:
                self._at -= num_fed - matcher.matched.end
                return True
        self._show(matcher.flush())
        return False

    def _calls(self, opening: str) -> Generator[None, None, None]:
        """A batch of calls; what isn't one is text."""
        self._unsure, self._is_named = [opening], False
        try:
            yield from self._batch()
        except _NoCall:
            self._show("".join(self._unsure or ()))
        except _TextOver:
            if self._unsure is not None:
                self._end_unsure(self._unsure, has_opening=bool(opening))

    def _end_unsure(self, text: list[str], *, has_opening: bool) -> None:
        """A call of which not even the name is whole is dropped; what only might have become one is text."""
        if has_opening or self._is_named:
            self._spaces = ""
        else:
            self._show("".join(text))

    def _batch(self) -> Generator[None, None, None]:
        form = self._format
        yield from self._expect(form.before)
        yield from self._call()
        while form.between is not None and (yield from self._is_next(form.between.strip())):
            yield from self._call()
        yield from self._expect(form.after)

    # ---- one call

    def _call(self) -> Generator[None, None, None]:
        marker = self._format.arguments
        if not isinstance(marker, Marker):
            yield from self._object(is_bare=self._unsure is not None and self._unsure[0] == "")
            return
        name = yield from self._word(_NAME)
        call_id = yield from self._call_id()
        yield from self._expect(marker.text)
        yield from self._value(self._begin(name, call_id))

    def _call_id(self) -> Generator[None, None, str | None]:
        marker = self._format.call_id
        if marker is None or not (yield from self._begins_with(marker.text)):
            return None
        self._advance(self._at + len(marker.text))
        return (yield from self._word(_NAME))

    def _object(self, *, is_bare: bool) -> Generator[None, None, None]:
        """An object with a name and arguments, in any order; its other members are skipped.

        Where no opening came before, it could be any JSON: then nothing else but a type may stand in it, which comes
        first.
        """
        name, kept, is_told = "", [""], False
        yield from self._expect("{")
        while True:
            key = yield from self._string()
            yield from self._expect(":")
            if is_bare and key not in (("name", *_ARGUMENTS) if name else ("name", "type")):
                raise _NoCall
            if key == "name":
                name = yield from self._name()
            elif key in _ARGUMENTS and name and not is_told:
                is_told = True
                yield from self._value(self._begin(name))
            elif is_bare and key == "type":
                yield from self._expect('"function"')
                self._is_named = True
            else:
                yield from self._value(kept.append if key in _ARGUMENTS else _drop)
            if not (yield from self._is_next(",")):
                break
        yield from self._expect("}")
        if not is_told:
            self._tell(name, "".join(kept))

    def _name(self) -> Generator[None, None, str]:
        yield from self._expect('"')
        self._is_named = True
        return (yield from self._rest_of_text())

    def _tell(self, name: str, arguments: str) -> None:
        if not name or not arguments:
            raise _NoCall
        self._begin(name)(arguments)

    # ---- JSON

    def _value(self, take: Take) -> Generator[None, None, None]:
        first = yield from self._after_spaces()
        if first == '"':
            take(first)
            yield from self._rest_of_string(take)
        elif first in "{[":
            take(first)
            yield from self._rest_of_nested(take)
        else:
            self._back()
            take((yield from self._word(_SCALAR)))

    def _rest_of_nested(self, take: Take) -> Generator[None, None, None]:
        depth = 1
        while depth:
            take(self._matching(_PLAIN))
            character = yield from self._read()
            take(character)
            if character == '"':
                yield from self._rest_of_string(take)
            else:
                depth += (character in "{[") - (character in "}]")

    def _rest_of_string(self, take: Take) -> Generator[None, None, None]:
        character = ""
        while character != '"':
            take(self._matching(_QUOTED))
            character = yield from self._read()
            take(character)
            if character == "\\":
                take((yield from self._read()))

    def _string(self) -> Generator[None, None, str]:
        yield from self._expect('"')
        return (yield from self._rest_of_text())

    def _rest_of_text(self) -> Generator[None, None, str]:
        """What a string says that has begun; names and keys need no escapes."""
        raw: list[str] = []
        yield from self._rest_of_string(raw.append)
        text = "".join(raw)[:-1]
        if "\\" in text:
            raise _NoCall
        return text

    def _word(self, pattern: re.Pattern[str]) -> Generator[None, None, str]:
        """At least one character of those that a pattern takes, and all of them that come."""
        word, is_cut = "", True
        while is_cut:
            word += self._matching(pattern)
            is_cut = self._at == len(self._input)
            if not (yield from self._has_more()):
                raise _TextOver
        if not word:
            raise _NoCall
        return word

    # ---- characters

    def _expect(self, text: str) -> Generator[None, None, None]:
        """These characters, with any spaces between them."""
        for character in text.strip():
            if not (yield from self._is_next(character)):
                raise _NoCall

    def _is_next(self, character: str) -> Generator[None, None, bool]:
        """Whether the next character that is no space is this one; it is read, then."""
        if (yield from self._after_spaces()) == character:
            return True
        self._back()
        return False

    def _after_spaces(self) -> Generator[None, None, str]:
        character = yield from self._read()
        while character in _SPACES:
            character = yield from self._read()
        return character

    def _read(self) -> Generator[None, None, str]:
        """One character of a call."""
        if not (yield from self._has_more()):
            raise _TextOver
        return self._advance(self._at + 1)

    def _matching(self, pattern: re.Pattern[str]) -> str:
        """What is there already of the characters that a pattern takes."""
        found = pattern.match(self._input, self._at)
        return "" if found is None else self._advance(found.end())

    def _advance(self, end: int) -> str:
        text = self._input[self._at : end]
        self._at = end
        if self._unsure is not None:
            self._unsure.append(text)
        return text

    def _back(self) -> None:
        """Leave the last character unread."""
        self._at -= 1
        if self._unsure is not None:
            self._unsure.pop()

    def _has_more(self) -> Generator[None, None, bool]:
        """Wait for text; returns whether there is some."""
        while self._at == len(self._input) and not self._is_over:
            yield
        return self._at < len(self._input)


def _drop(_: str) -> None:
    pass


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbours of one kind as one piece."""
    return [_one(list(group)) for _, group in groupby(pieces, lambda piece: (type(piece), getattr(piece, "index", 0)))]


def _one(pieces: list[Piece]) -> Piece:
    first = pieces[0]
    if isinstance(first, CallBegin):
        return first
    text = "".join(piece.text for piece in pieces if not isinstance(piece, CallBegin))
    return Content(text) if isinstance(first, Content) else CallArguments(first.index, text)
