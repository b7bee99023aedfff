"""Counted strings in a form in which xgrammar can look ahead: it knows the tokens of a rule, not of a count in it."""

from __future__ import annotations

from ensue.guided.json_strings import without_escapes
from ensue.guided.pattern import EMPTY, Call, Chars, Pattern, Repeat, Rules, leaves, map_repeats, optional, repeat, seq

MAX_COUNT = 256


def shortened(rules: Rules) -> Rules:
    """Strings counted beyond what can be unrolled, without escapes: the library counts single characters by itself."""

    def change(pattern: Repeat) -> Pattern:
        plain = without_escapes(pattern.item)
        if max(pattern.least, pattern.most or 0) <= MAX_COUNT or plain is None:
            return pattern
        return repeat(plain, pattern.least, pattern.most)

    return Rules({name: map_repeats(pattern, change) for name, pattern in rules.patterns.items()}, rules.start)


def unrolled(rules: Rules) -> Rules:
    """The same with a rule for "up to so many more", which all counts of the same item share."""
    more: dict[str, Pattern] = {}
    names: dict[Pattern, str] = {}

    def up_to(item: Pattern, count: int) -> Pattern:
        name = names.setdefault(item, f"up to {len(names)}")
        for i in range(1, count + 1):
            behind = Call(f"{name} {i - 1}") if i > 1 else EMPTY
            more.setdefault(f"{name} {i}", optional(seq([item, behind])))
        return Call(f"{name} {count}") if count else EMPTY

    def change(pattern: Repeat) -> Pattern:
        if isinstance(pattern.item, Chars) or not _is_unrolled(pattern):
            return pattern
        start = [pattern.item] * pattern.least
        if pattern.most is None:
            return seq([*start, repeat(pattern.item, 0, None)])
        return seq([*start, up_to(pattern.item, pattern.most - pattern.least)])

    changed = {name: map_repeats(pattern, change) for name, pattern in rules.patterns.items()}
    return Rules({**changed, **more}, rules.start)


def _is_unrolled(pattern: Repeat) -> bool:
    """A few single characters, and no other rule, counted to more than one."""
    count = max(pattern.least, pattern.most or 0)
    found = list(leaves(pattern.item))
    return 1 < count <= MAX_COUNT and len(found) <= 3 and all(isinstance(leaf, Chars) for leaf in found)
