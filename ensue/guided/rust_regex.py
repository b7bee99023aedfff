"""Reads regexes in Rust's syntax. Where readers differ, as on classes, it takes what all of them agree on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from ensue.errors import InvalidGrammar
from ensue.guided import chars
from ensue.guided.chars import Class
from ensue.guided.constraint import MAX_NESTING
from ensue.guided.pattern import ANY, EMPTY, Alt, Pattern, Repeat, Seq, alt, one_of, repeat, seq

_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xuU]\{([0-9a-fA-F]{1,8})\}")
_PROPERTY = re.compile(r"([pP])(?:\{(\^?)(\w+)\}|([A-Z]))")
_COUNTS = re.compile(r"\{(\d{1,6})(,(\d{1,6})?)?\}")
_GROUP = re.compile(r"\?(?:P?<[A-Za-z_][\w.\[\]]*>|([a-zA-Z-]*)([:)]))")
_MARKS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_CONTROLS = {"a": 7, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_FOLDED = "\u017f\u212a"  # equal to s and k, whatever the case
_INNER_EDGE = "Anchors within a regex are supported only where its branches begin and end."


@dataclass(frozen=True, slots=True)
class Edge:
    """^ and $ on their way: the beginning or the end of the text."""

    is_start: bool


# While it is read, a regex may hold edges; `_anchored` takes them out.
_Node = Pattern | Edge


class _Side(Enum):
    """What stands beside a part of a regex."""

    OPEN = "any characters"
    CLOSED = "an end of the text"
    INNER = "another part"


def whole(regex: str) -> Pattern:
    """The texts that match from their first to their last character.

    Raises:
        InvalidGrammar: malformed, or beyond regular languages and what is known here.
    """
    return _anchored(_Reader(regex).read(), _Side.CLOSED, _Side.CLOSED)


def anywhere(regex: str) -> Pattern:
    """The texts that have a match somewhere.

    Raises:
        InvalidGrammar: as `whole`.
    """
    return _anchored(_Reader(regex).read(), _Side.OPEN, _Side.OPEN)


@dataclass(frozen=True, slots=True)
class _Flags:
    ignores_case: bool = False
    dot_takes_all: bool = False

    def changed(self, letters: str) -> _Flags:
        on, _, off = letters.partition("-")
        if set(on + off) - {"i", "s"}:
            raise InvalidGrammar("Of the flags of regexes, i and s are supported by this backend.")
        case, dot = self.ignores_case or "i" in on, self.dot_takes_all or "s" in on
        return _Flags(case and "i" not in off, dot and "s" not in off)


class _Reader:
    def __init__(self, regex: str) -> None:
        self._regex = regex
        self._at = 0
        self._depth = 0

    def read(self) -> _Node:
        node = self._choice(_Flags())
        if self._at < len(self._regex):
            raise InvalidGrammar("The regex has a closing bracket without an opening one.")
        return node

    def _looks_at(self, text: str) -> bool:
        return self._regex.startswith(text, self._at)

    def _take(self) -> str:
        if self._at >= len(self._regex):
            raise InvalidGrammar("The regex is unclosed: it ends within a group, a class or an escape.")
        self._at += 1
        return self._regex[self._at - 1]

    def _deeper(self, by: int) -> None:
        self._depth += by
        if self._depth > MAX_NESTING:
            raise InvalidGrammar(f"The regex is nested deeper than {MAX_NESTING} groups.")

    def _choice(self, flags: _Flags) -> _Node:
        self._deeper(1)
        branches: list[list[_Node]] = [[]]
        while self._at < len(self._regex) and not self._looks_at(")"):
            if self._looks_at("|"):
                self._at += 1
                branches.append([])
            elif found := self._flags_group():
                flags = flags.changed(found)
            else:
                branches[-1].append(self._repeated(self._atom(flags)))
        self._deeper(-1)
        return Alt(tuple(Seq(tuple(items)) for items in branches))  # type: ignore[arg-type]

    def _flags_group(self) -> str | None:
        """(?i), which holds up to the end of the group around it."""
        found = _GROUP.match(self._regex, self._at + 1) if self._looks_at("(?") else None
        if found is None or found[2] != ")":
            return None
        self._at = found.end()
        return found[1]

    def _atom(self, flags: _Flags) -> _Node:
        character = self._take()
        if character == "(":
            return self._group(flags)
        if character == "[":
            return _as_chars(self._class(flags))
        if character == ".":
            return ANY if flags.dot_takes_all else one_of(chars.complement(chars.single("\n")))
        if character in "^$":
            return Edge(character == "^")
        if character in "*+?{":
            raise InvalidGrammar("The regex repeats nothing.")
        if character == "\\":
            if self._regex[self._at : self._at + 1] in ("A", "z"):
                return Edge(self._take() == "A")
            return _as_chars(_cased(self._escape(), flags))
        return _as_chars(_cased(Class.exactly(chars.single(_checked(character))), flags))

    def _group(self, flags: _Flags) -> _Node:
        if self._looks_at("?"):
            found = _GROUP.match(self._regex, self._at)
            if not found:
                raise InvalidGrammar("Groups of this kind, such as look-around, are not supported.")
            self._at = found.end()
            flags = flags.changed(found[1] or "")
        inner = self._choice(flags)
        self._take()
        return inner

    def _repeated(self, node: _Node) -> _Node:
        while self._at < len(self._regex) and self._regex[self._at] in "*+?{":
            if isinstance(node, Edge):
                raise InvalidGrammar("The regex repeats an anchor.")
            least, most = self._counts()
            if self._looks_at("?"):  # lazy: the same texts
                self._at += 1
            repeat(node, least, most)  # checks the counts
            node = Repeat(node, least, most)
        return node

    def _counts(self) -> tuple[int, int | None]:
        if self._regex[self._at] in _MARKS:
            return _MARKS[self._take()]
        found = _COUNTS.match(self._regex, self._at)
        if not found:
            raise InvalidGrammar("The regex has a repetition that is not {m}, {m,} or {m,n}.")
        self._at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise InvalidGrammar("The regex has a repetition whose bounds fall.")
        return least, most

    def _class(self, flags: _Flags) -> Class:
        self._deeper(1)
        is_denied = self._looks_at("^")
        self._at += is_denied
        found = self._items(flags)
        while self._looks_at("&&") or self._looks_at("--"):
            is_both = self._take() == "&"
            self._at += 1
            other = self._items(flags)
            found = found.and_also(other if is_both else other.denied())
        if self._take() != "]":
            raise InvalidGrammar("The regex has a class that cannot be read.")
        self._deeper(-1)
        return found.denied() if is_denied else found

    def _items(self, flags: _Flags) -> Class:
        """Up to an operator or the end; a bracket that comes first means itself."""
        found = Class.exactly(())
        is_first = True
        while not ((self._looks_at("]") and not is_first) or self._looks_at("&&") or self._looks_at("--")):
            found = found.or_else(self._item(flags))
            is_first = False
        return found

    def _item(self, flags: _Flags) -> Class:
        if self._looks_at("[:") or self._looks_at("~~"):
            raise InvalidGrammar("Classes such as [:alpha:] and the operator ~~ are not supported by this backend.")
        if self._looks_at("["):
            self._at += 1
            return self._class(flags)
        first = self._member()
        is_range = self._looks_at("-") and not self._looks_at("-]") and not self._looks_at("--")
        if not is_range:
            return _cased(first, flags)
        self._at += 1
        last = self._member()
        low, high = first.inner[0][0], last.inner[0][0]
        if not _is_one(first) or not _is_one(last) or high < low:
            raise InvalidGrammar("The regex has a range that runs backwards, or not from character to character.")
        spread = chars.without(((low, high),), chars.complement(chars.ALL))
        return _cased(Class.exactly(spread), flags)

    def _member(self) -> Class:
        character = self._take()
        return self._escape() if character == "\\" else Class.exactly(chars.single(_checked(character)))

    def _escape(self) -> Class:
        if code := _CODE.match(self._regex, self._at):
            self._at = code.end()
            return Class.exactly(_scalar(int(next(filter(None, code.groups())), 16)))
        if found := _PROPERTY.match(self._regex, self._at):
            self._at = found.end()
            return _property(found)
        letter = self._take()
        if letter in "dwsDWS":
            return chars.escape_class(letter)
        if letter in _CONTROLS:
            return Class.exactly(chars.single(chr(_CONTROLS[letter])))
        if letter.isdigit():
            raise InvalidGrammar("The regex has backreferences, which are not supported.")
        if letter in "bB":
            raise InvalidGrammar("Word boundaries are lookarounds, which are not supported.")
        if letter.isalpha() or not letter.isascii() or letter in "<>":
            raise InvalidGrammar("The regex has an escape that is not known.")
        return Class.exactly(chars.single(letter))


def _checked(character: str) -> str:
    _scalar(ord(character))
    return character


def _scalar(code: int) -> chars.Ranges:
    if 0xD800 <= code < 0xE000 or code > chars.MAX_CODE:
        raise InvalidGrammar("The regex has an escape that is no character.")
    return ((code, code),)


def _property(found: re.Match[str]) -> Class:
    known = chars.property_class(found[3] or found[4])
    if known is None:
        raise InvalidGrammar("The regex has a Unicode class that is not known to this backend.")
    return known.denied() if (found[1] == "P") != bool(found[2]) else known


def _is_one(members: Class) -> bool:
    return members.inner == members.outer and len(members.inner) == 1 and members.inner[0][0] == members.inner[0][1]


def _as_chars(members: Class) -> Pattern:
    return one_of(members.inner)


def _cased(members: Class, flags: _Flags) -> Class:
    """With both cases of ASCII letters; what else folds to them may be in for some reader."""
    if not flags.ignores_case:
        return members
    small, large = ((97, 122),), ((65, 90),)
    found = members
    for source, step in ((small, -32), (large, 32)):
        letters = chars.complement(chars.union(chars.complement(members.inner), chars.complement(source)))
        shifted = tuple((low + step, high + step) for low, high in letters)
        found = Class(chars.union(found.inner, shifted), chars.union(found.outer, shifted))
    if members.outer and max(high for _, high in members.outer) > 127:
        return Class(found.inner, chars.ALL)  # a denial of other alphabets leaves nothing
    return Class(found.inner, chars.union(found.outer, chars.of(_FOLDED)))


def _has_edge(node: _Node) -> bool:
    if isinstance(node, Edge):
        return True
    if isinstance(node, Repeat):
        return _has_edge(node.item)
    return isinstance(node, Seq | Alt) and any(map(_has_edge, node.items))


def _anchored(node: _Node, before: _Side, behind: _Side) -> Pattern:
    """Without edges: where the text may go on beyond the node, any characters do."""
    if isinstance(node, Alt):
        return alt(_anchored(item, before, behind) for item in node.items)
    items: list[_Node] = list(node.items) if isinstance(node, Seq) else [node]
    while items and isinstance(items[0], Edge) and items[0].is_start:
        items, before = items[1:], _closed(before)
    while items and isinstance(items[-1], Edge) and not items[-1].is_start:
        items, behind = items[:-1], _closed(behind)
    more = repeat(ANY, 0, None)
    if not items:
        return more if _Side.OPEN in (before, behind) else EMPTY
    if len(items) == 1 and isinstance(items[0], Alt):
        return _anchored(items[0], before, behind)
    if _has_edge(items[0]) and isinstance(items[0], Alt):
        items[0], before = _anchored(items[0], before, _Side.INNER), _Side.INNER
    if _has_edge(items[-1]) and isinstance(items[-1], Alt):
        items[-1], behind = _anchored(items[-1], _Side.INNER, behind), _Side.INNER
    if any(map(_has_edge, items)):
        raise InvalidGrammar(_INNER_EDGE)
    start, end = [more] * (before is _Side.OPEN), [more] * (behind is _Side.OPEN)
    return seq([*start, *map(_plain, items), *end])


def _closed(side: _Side) -> _Side:
    if side is _Side.INNER:
        raise InvalidGrammar(_INNER_EDGE)
    return _Side.CLOSED


def _plain(node: _Node) -> Pattern:
    """Brings what was read into its shortest form."""
    assert not isinstance(node, Edge)
    if isinstance(node, Repeat):
        return repeat(_plain(node.item), node.least, node.most)
    if isinstance(node, Seq):
        return seq(map(_plain, node.items))
    return alt(map(_plain, node.items)) if isinstance(node, Alt) else node
