"""Texts in which a pattern matches nowhere: not all of them, but those that a look at single characters tells."""

from __future__ import annotations

from collections.abc import Iterable

from ensue.errors import InvalidGrammar
from ensue.guided import chars
from ensue.guided.chars import Ranges
from ensue.guided.ecma_regex import to_widest
from ensue.guided.pattern import Alt, Call, Chars, Pattern, Repeat, Seq
from ensue.guided.render import as_regex
from ensue.guided.rust_regex import anywhere

_ASCII: Ranges = ((0, 0x7F),)
_ANYTHING = "(?s:.)*"


def avoiding_matches(pattern: str) -> str:
    """A regex in Rust's syntax for whole texts that begin or end with a character, or lack one, so that none matches.

    Args:
        pattern: in ECMA's syntax.

    Raises:
        InvalidGrammar: there is no such character, or the pattern can't be read.
    """
    found = anywhere(to_widest(pattern))
    first, last = _edge(found, is_last=False), _edge(found, is_last=True)
    forms = [f"{as_regex(Chars(beside))}{_ANYTHING}"] if (beside := _other_than(first)) else []
    if not forms and (beside := _other_than(last)):
        forms = [f"{_ANYTHING}{as_regex(Chars(beside))}"]
    if (needed := _best(_needed(found))) is not None:
        forms.append(f"{as_regex(Chars(_other_than(needed)))}*")
    elif forms and not _may_be_empty(found):
        forms.append("")
    if not forms:
        raise InvalidGrammar("No single character tells where the pattern does not match.")
    return f"(?:{'|'.join(forms)})"


def _other_than(characters: Ranges) -> Ranges:
    """Characters beside these: of those that are not ASCII none, where readers may disagree on them."""
    others = chars.complement(characters)
    return others if _is_ascii(characters) else chars.without(_ASCII, characters)


def _is_ascii(characters: Ranges) -> bool:
    return not chars.without(characters, _ASCII)


def _best(sets: list[Ranges]) -> Ranges | None:
    """The one without which most can be said."""
    return min((found for found in sets if _other_than(found)), key=_cost, default=None)


def _cost(characters: Ranges) -> int:
    """How much is missed without these characters: letters and digits more than marks, most what is not ASCII."""
    ascii_ones = [chr(code) for code in range(128) if any(low <= code <= high for low, high in characters)]
    return sum(4 if c.isalnum() or c == " " else 1 for c in ascii_ones) + (0 if _is_ascii(characters) else 1000)


def _may_be_empty(pattern: Pattern) -> bool:
    if isinstance(pattern, Chars | Call):
        return False
    if isinstance(pattern, Repeat):
        return pattern.least == 0 or _may_be_empty(pattern.item)
    return (all if isinstance(pattern, Seq) else any)(map(_may_be_empty, pattern.items))


def _edge(pattern: Pattern, *, is_last: bool) -> Ranges:
    """The characters that a text which matches may begin with, or end with."""
    if isinstance(pattern, Chars):
        return pattern.ranges
    if isinstance(pattern, Repeat):
        return _edge(pattern.item, is_last=is_last)
    found: list[Ranges] = []
    items: Iterable[Pattern] = pattern.items if isinstance(pattern, Seq | Alt) else ()
    for item in reversed(list(items)) if is_last else items:
        found.append(_edge(item, is_last=is_last))
        if isinstance(pattern, Seq) and not _may_be_empty(item):
            break
    return chars.union(*found)


def _needed(pattern: Pattern) -> list[Ranges]:
    """Sets of which every text that matches holds a character."""
    if isinstance(pattern, Chars):
        return [pattern.ranges]
    if isinstance(pattern, Repeat):
        return _needed(pattern.item) if pattern.least else []
    if isinstance(pattern, Seq):
        return [found for item in pattern.items for found in _needed(item)]
    branches = [_needed(item) for item in pattern.items] if isinstance(pattern, Alt) else []
    best = [_best(branch) for branch in branches]
    known = [found for found in best if found is not None]
    return [chars.union(*known)] if known and len(known) == len(best) else []
