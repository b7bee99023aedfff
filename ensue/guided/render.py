"""Patterns and rules in the notations of the libraries: a regex, EBNF, Lark."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ensue.errors import InvalidGrammar
from ensue.guided.chars import Ranges
from ensue.guided.pattern import Alt, Call, Chars, Pattern, Repeat, Rules, Seq, calls, map_leaves, parts_of

MAX_REGEX_CHARACTERS = 2**20


def as_regex(pattern: Pattern) -> str:
    """In a dialect that Rust and Python read alike. Without calls."""
    if isinstance(pattern, Chars):
        return _set(pattern.ranges)
    if isinstance(pattern, Repeat):
        return f"(?:{as_regex(pattern.item)}){_braces(pattern)}"
    if isinstance(pattern, Seq):
        return "".join(map(as_regex, pattern.items))
    assert isinstance(pattern, Alt)
    return f"(?:{'|'.join(map(as_regex, pattern.items))})"


def inlined(rules: Rules) -> Pattern:
    """One pattern without calls.

    Raises:
        InvalidGrammar: the rules are recursive, or too long when written out.
    """
    order = _callees_first(rules)
    done: dict[str, Pattern] = {}
    sizes: dict[str, int] = {}
    for name in order:
        sizes[name] = _size(rules.patterns[name], sizes)
        if sizes[name] > MAX_REGEX_CHARACTERS:
            raise InvalidGrammar("The constraint is too large to be written as one regex.")
        done[name] = map_leaves(rules.patterns[name], lambda leaf: done[leaf.name] if isinstance(leaf, Call) else leaf)
    return done[rules.start]


def _size(pattern: Pattern, sizes: Mapping[str, int]) -> int:
    """About how many characters the regex will have."""
    if isinstance(pattern, Chars):
        return 12 * len(pattern.ranges)
    if isinstance(pattern, Call):
        return sizes[pattern.name]
    return 4 + sum(_size(part, sizes) for part in parts_of(pattern))


def _callees_first(rules: Rules) -> list[str]:
    order: dict[str, None] = {}
    open_names: set[str] = set()

    def visit(name: str) -> None:
        if name in open_names:
            raise InvalidGrammar("What refers to itself cannot be expressed by this backend.")
        if name in order:
            return
        open_names.add(name)
        for called in calls(rules.patterns[name]):
            visit(called)
        open_names.discard(name)
        order[name] = None

    visit(rules.start)
    return list(order)


def as_ebnf(rules: Rules) -> str:
    """In the dialect of xgrammar and llama.cpp; the first rule is `root`."""
    names = {name: f"r{i}" for i, name in enumerate(rules.patterns)} | {rules.start: "root"}
    return "\n".join(f"{names[name]} ::= {_ebnf(p, names, _set)}" for name, p in rules.patterns.items())


def as_lark(rules: Rules) -> str:
    """In llguidance's dialect. Every character is a lexeme of its own, so that no lexer has a say."""
    names = {name: f"r{i}" for i, name in enumerate(rules.patterns)} | {rules.start: "start"}
    return "\n".join(f"{names[name]}: {_ebnf(p, names, _lexeme)}" for name, p in rules.patterns.items())


def _ebnf(pattern: Pattern, names: Mapping[str, str], spell: Callable[[Ranges], str]) -> str:
    if isinstance(pattern, Chars):
        return spell(pattern.ranges)
    if isinstance(pattern, Call):
        return names[pattern.name]
    if isinstance(pattern, Repeat):
        return f"({_ebnf(pattern.item, names, spell)}){_braces(pattern)}"
    inner = [_ebnf(item, names, spell) for item in pattern.items]
    if isinstance(pattern, Seq):
        return " ".join(inner) or '""'
    return f"({' | '.join(inner)})"


def _braces(pattern: Repeat) -> str:
    marks = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    counts = f"{{{pattern.least},{'' if pattern.most is None else pattern.most}}}"
    return marks.get((pattern.least, pattern.most), counts)


def _lexeme(ranges: Ranges) -> str:
    return f"/{_set(ranges, spell=_braced)}/"


def _escaped(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _braced(code: int) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else f"\\x{{{code:x}}}"


def _set(ranges: Ranges, spell: Callable[[int], str] = _escaped) -> str:
    spans = (spell(low) if low == high else f"{spell(low)}-{spell(high)}" for low, high in ranges)
    return f"[{''.join(spans)}]"
