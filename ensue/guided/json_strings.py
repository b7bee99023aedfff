"""Patterns on the characters of a string, brought to its spelling in JSON."""

from __future__ import annotations

import json

from ensue.guided import chars
from ensue.guided.pattern import Alt, Call, Chars, Pattern, Seq, alt, literal, map_leaves, one_of, repeat, seq

_SHORT = {'"': '"', "\\": "\\", "\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
# As with the built-in backend, nothing is written as \u.
_ESCAPED = chars.of("".join(_SHORT))
_NEVER_PLAIN = chars.union([(0, 0x1F), (0x7F, 0x7F)], _ESCAPED)


def quoted(pattern: Pattern) -> Pattern:
    """The strings whose characters match, between their quotes; control characters without a short escape are out."""
    return seq([literal('"'), map_leaves(pattern, _spelled), literal('"')])


def text_of(value: object) -> Pattern:
    """A value in its shortest spelling."""
    return literal(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def other_than(names: list[str]) -> Pattern:
    """Any characters, but none of these texts."""
    more = repeat(Chars(chars.ALL), 0, None)
    tails: dict[str, list[str]] = {}
    for name in names:
        if name:
            tails.setdefault(name[0], []).append(name[1:])
    others = one_of(chars.complement(chars.of("".join(tails))))
    parts = [seq([others, more])]
    parts += [seq([literal(first), other_than(rest)]) for first, rest in tails.items()]
    return alt(parts if "" in names else [*parts, literal("")])


def without_escapes(item: Pattern) -> Pattern | None:
    """Of one character as it is spelled in a string, those spelled plainly; None for anything else."""
    if isinstance(item, Alt) and len(item.items) == 2:
        plain, escaped = item.items
        if isinstance(plain, Chars) and isinstance(escaped, Seq) and escaped.items[:1] == (literal("\\"),):
            return plain
    return None


def _spelled(leaf: Chars | Call) -> Pattern:
    assert isinstance(leaf, Chars)
    plain = one_of(chars.without(leaf.ranges, _NEVER_PLAIN))
    letters = [letter for character, letter in _SHORT.items() if _holds(leaf.ranges, ord(character))]
    return alt([plain, seq([literal("\\"), one_of(chars.of("".join(letters)))])])


def _holds(ranges: chars.Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)
