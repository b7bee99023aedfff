"""Quoted texts of a GBNF grammar as one lexeme each, where a lexer cannot change what the grammar says.

A quoted text is an opening character, something repeated, and a closing character. Masks within it are those of a
regex, a hundred times faster than those of rules. It is safe where nothing else in the grammar begins with the opening
character, so that no other lexeme competes, and where each character says how to go on, so that no quoted text begins
another one: the longest match is then the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ensue.guided import chars
from ensue.guided.chars import Ranges
from ensue.guided.ebnf import Choice, Node, Ref, Repeat, Rules, Sequence, Text
from ensue.guided.pattern import Chars
from ensue.guided.rust_regex import whole

_MAX_COUNT = 256  # each character that is counted costs states of a lexer
_MAX_LENGTH = 2000  # of a regex
_MAX_REFS = 16  # from rule to rule


@dataclass(frozen=True, slots=True)
class _Part:
    """A regex none of whose texts is empty or begins another, and the characters that they begin with."""

    regex: str
    first: Ranges


def with_lexemes(rules: Rules, start: str) -> dict[str, Node]:
    """The same language; what is left of single characters, and lexemes instead of quoted texts."""
    rivals = set[str]()
    while True:
        lexemes = dict[str, Ranges]()
        found = _reachable({name: _shorter(node, rules, lexemes, rivals) for name, node in rules.items()}, start)
        firsts = {text.lark: lexemes.get(text.lark) or _first(text) for node in found.values() for text in _texts(node)}
        more = {lexeme for lexeme in firsts.keys() & lexemes if _has_rival(lexeme, firsts)}
        if not more:
            return found
        rivals |= more


def _has_rival(lexeme: str, firsts: dict[str, Ranges]) -> bool:
    return any(not _are_apart([firsts[lexeme], first]) for other, first in firsts.items() if other != lexeme)


def _shorter(node: Node, rules: Rules, lexemes: dict[str, Ranges], rivals: set[str]) -> Node:
    """The node with its quoted texts replaced, but for rivals; notes the lexemes."""
    if isinstance(node, Choice):
        return Choice(tuple(_shorter(item, rules, lexemes, rivals) for item in node.items))
    if isinstance(node, Repeat):
        return Repeat(_shorter(node.item, rules, lexemes, rivals), node.least, node.most)
    if not isinstance(node, Sequence):
        return node
    items, out = list(_flat(node)), list[Node]()
    while items:
        quoted = _quoted(items[:3], rules)
        if quoted is not None and (text := Text(f"/{quoted.regex}/")).lark not in rivals:
            lexemes[text.lark] = quoted.first
            out.append(text)
            del items[:3]
        else:
            out.append(_shorter(items.pop(0), rules, lexemes, rivals))
    return Sequence(tuple(out))


def _quoted(items: list[Node], rules: Rules) -> _Part | None:
    """A quoted text, if these nodes are one."""
    if len(items) < 3 or not isinstance(middle := items[1], Repeat) or (middle.most or 0) > _MAX_COUNT:
        return None
    opening, inner, closing = (_part(node, rules) for node in (items[0], middle.item, items[2]))
    if not isinstance(items[0], Text) or not isinstance(items[2], Text) or not (opening and inner and closing):
        return None
    if middle.least > _MAX_COUNT or not _are_apart([inner.first, closing.first]):
        return None
    most = "" if middle.most is None else middle.most
    return _Part(f"{opening.regex}(?:{inner.regex}){{{middle.least},{most}}}{closing.regex}", opening.first)


def _part(node: Node, rules: Rules, through: frozenset[str] = frozenset()) -> _Part | None:
    match node:
        case Text(lark):
            return _Part(lark[1:-1], first) if (first := _first(node)) else None
        case Ref(name):
            is_too_far = name in through or len(through) == _MAX_REFS
            return None if is_too_far else _part(rules[name], rules, through | {name})
        case Repeat(item, least, most):
            inner = _part(item, rules, through) if least == most and 0 < least <= _MAX_COUNT else None
            return inner and _short(f"(?:{inner.regex}){{{least}}}", inner.first)
    parts = list[_Part]()
    for item in node.items:
        if (part := _part(item, rules, through)) is None:
            return None
        parts.append(part)
    if isinstance(node, Sequence):
        return _short("".join(part.regex for part in parts), parts[0].first) if parts else None
    firsts = [part.first for part in parts]
    return _short(f"(?:{'|'.join(p.regex for p in parts)})", chars.union(*firsts)) if _are_apart(firsts) else None


def _short(regex: str, first: Ranges) -> _Part | None:
    return _Part(regex, first) if len(regex) <= _MAX_LENGTH else None


def _first(text: Text) -> Ranges:
    """The characters that a text of one character may be."""
    pattern = whole(text.lark[1:-1])
    return pattern.ranges if isinstance(pattern, Chars) else ()


def _are_apart(sets: Iterable[Ranges]) -> bool:
    """Whether no character is in two of these sets."""
    sets = list(sets)
    return sum(map(_size, sets)) == _size(chars.union(*sets))


def _size(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _flat(node: Node) -> Iterator[Node]:
    """The items of a sequence, those of sequences and groups within it, too."""
    if isinstance(node, Choice) and len(node.items) == 1:
        yield from _flat(node.items[0])
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _flat(item)
    else:
        yield node


def _inner(node: Node) -> Iterator[Node]:
    """The node and all within it."""
    yield node
    for item in (node.item,) if isinstance(node, Repeat) else getattr(node, "items", ()):
        yield from _inner(item)


def _texts(node: Node) -> Iterator[Text]:
    return (item for item in _inner(node) if isinstance(item, Text))


def _reachable(rules: dict[str, Node], start: str) -> dict[str, Node]:
    found, todo = set[str](), [start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(node.name for node in _inner(rules[name]) if isinstance(node, Ref))
    return {name: node for name, node in rules.items() if name in found}
