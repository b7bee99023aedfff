"""Patterns over characters, regexes and rules that call rules: what the backends that are not built in are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ensue.errors import InvalidGrammar
from ensue.guided import chars
from ensue.guided.chars import Ranges


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Seq:
    items: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    items: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    item: Pattern
    least: int
    most: int | None  # None: no bound


@dataclass(frozen=True, slots=True)
class Call:
    """What the rule of this name matches."""

    name: str


Pattern = Chars | Seq | Alt | Repeat | Call

EMPTY = Seq(())
NOTHING = Alt(())
ANY = Chars(chars.ALL)
MAX_REPEATS = 10_000
MAX_CASES = 64


def one_of(ranges: Ranges) -> Pattern:
    return Chars(ranges) if ranges else NOTHING


def literal(text: str) -> Pattern:
    return seq(Chars(chars.single(c)) for c in text)


def seq(items: Iterable[Pattern]) -> Pattern:
    """One after the other; nothing where one of them matches nothing."""
    flat: list[Pattern] = []
    for item in items:
        if item == NOTHING:
            return NOTHING
        flat.extend(item.items if isinstance(item, Seq) else (item,))
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(items: Iterable[Pattern]) -> Pattern:
    """One of them; single characters become one set."""
    flat: dict[Pattern, None] = {}
    for item in items:
        flat.update(dict.fromkeys(item.items if isinstance(item, Alt) else (item,)))
    sets = [item.ranges for item in flat if isinstance(item, Chars)]
    others = [item for item in flat if not isinstance(item, Chars)]
    parts = [Chars(chars.union(*sets)), *others] if sets else others
    return parts[0] if len(parts) == 1 else Alt(tuple(parts))


def repeat(item: Pattern, least: int, most: int | None) -> Pattern:
    """
    Raises:
        InvalidGrammar: more repetitions than any text will ever have.
    """
    if max(least, most or 0) > MAX_REPEATS:
        raise InvalidGrammar(f"This backend can count up to {MAX_REPEATS}.")
    if most is not None and most < least:
        return NOTHING
    if item == NOTHING:
        return NOTHING if least else EMPTY
    if item == EMPTY or most == 0:
        return EMPTY
    return item if (least, most) == (1, 1) else Repeat(item, least, most)


def optional(item: Pattern) -> Pattern:
    return repeat(item, 0, 1)


def parts_of(pattern: Pattern) -> tuple[Pattern, ...]:
    if isinstance(pattern, Repeat):
        return (pattern.item,)
    return pattern.items if isinstance(pattern, Seq | Alt) else ()


def leaves(pattern: Pattern) -> Iterator[Chars | Call]:
    if isinstance(pattern, Chars | Call):
        yield pattern
    for part in parts_of(pattern):
        yield from leaves(part)


def calls(pattern: Pattern) -> list[str]:
    """The rules that it calls, each once."""
    return list(dict.fromkeys(leaf.name for leaf in leaves(pattern) if isinstance(leaf, Call)))


def map_leaves(pattern: Pattern, change: Callable[[Chars | Call], Pattern]) -> Pattern:
    """The same pattern with other leaves."""
    if isinstance(pattern, Chars | Call):
        return change(pattern)
    if isinstance(pattern, Repeat):
        return repeat(map_leaves(pattern.item, change), pattern.least, pattern.most)
    parts = [map_leaves(part, change) for part in pattern.items]
    return seq(parts) if isinstance(pattern, Seq) else alt(parts)


def map_repeats(pattern: Pattern, change: Callable[[Repeat], Pattern]) -> Pattern:
    """The same pattern with other repetitions; inner ones are changed first."""
    if isinstance(pattern, Repeat):
        inner = repeat(map_repeats(pattern.item, change), pattern.least, pattern.most)
        return change(inner) if isinstance(inner, Repeat) else inner
    if isinstance(pattern, Chars | Call):
        return pattern
    parts = [map_repeats(part, change) for part in pattern.items]
    return seq(parts) if isinstance(pattern, Seq) else alt(parts)


def lengths(pattern: Pattern) -> tuple[int, int | None]:
    """The least and the largest number of characters; None for no bound. Without calls."""
    if isinstance(pattern, Chars | Call):
        return 1, 1
    if isinstance(pattern, Repeat):
        least, most = lengths(pattern.item)
        return least * pattern.least, None if most is None or pattern.most is None else most * pattern.most
    bounds = [lengths(part) for part in pattern.items]
    total = sum if isinstance(pattern, Seq) else max
    has_end = all(most is not None for _, most in bounds)
    least = sum(low for low, _ in bounds) if isinstance(pattern, Seq) else min((low for low, _ in bounds), default=0)
    return least, total([most or 0 for _, most in bounds] or [0]) if has_end else None


def within(pattern: Pattern, least: int, most: int | None, num_cases: int = MAX_CASES) -> Pattern | None:
    """The same, but of texts that have so many characters.

    Where several parts have no length of their own, all lengths of the first ones are gone through.

    Returns:
        None where that takes more cases than `num_cases`.
    """
    low, high = lengths(pattern)
    if low >= least and (most is None or (high is not None and high <= most)):
        return pattern
    items = pattern.items if isinstance(pattern, Seq) else (pattern,)
    open_ends = [i for i, item in enumerate(items) if len(set(lengths(item))) > 1]
    if not open_ends:
        return NOTHING
    at = open_ends[0]
    beside = low - lengths(items[at])[0]
    cases = _cases(items[at], least - beside, None if most is None else most - beside, is_last=len(open_ends) == 1)
    if cases is None or len(cases) > num_cases:
        return None
    texts = [seq([*items[:at], case, *items[at + 1 :]]) for case in cases]
    parts = [within(text, least, most, num_cases // max(1, len(cases))) for text in texts]
    return None if None in parts else alt(part for part in parts if part is not None)


def _cases(item: Pattern, least: int, most: int | None, *, is_last: bool) -> list[Pattern] | None:
    """What an item without a length of its own may be, as items that have one, or have as many characters as are left.

    Args:
        is_last: nothing beside it has another length.
    """
    if isinstance(item, Alt):
        return list(item.items)
    assert isinstance(item, Repeat)
    if (item.least, item.most) == (0, 1):
        return [EMPTY, item.item]
    size, largest = lengths(item.item)
    if size != largest or size == 0:
        return None
    low, high = max(item.least, -(-least // size)), item.most
    if most is not None:
        high = most // size if high is None else min(high, most // size)
    if is_last:
        return [repeat(item.item, low, high)]
    if high is not None:
        return [repeat(item.item, count, count) for count in range(item.least, high + 1)]
    return [*(repeat(item.item, n, n) for n in range(item.least, low)), repeat(item.item, low, None)]


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns by name; a text fits if the pattern named `start` matches the whole of it."""

    patterns: Mapping[str, Pattern]
    start: str = "root"

    @classmethod
    def of(cls, pattern: Pattern) -> Rules:
        return cls({"root": pattern})

    def pruned(self) -> Rules:
        """Without what no finite text matches: no mask then leads into a dead end.

        Raises:
            InvalidGrammar: nothing is left.
        """
        alive = self._productive()
        if self.start not in alive:
            raise InvalidGrammar("No text satisfies the constraint.")

        def keep(leaf: Chars | Call) -> Pattern:
            return NOTHING if isinstance(leaf, Call) and leaf.name not in alive else leaf

        kept = {name: map_leaves(pattern, keep) for name, pattern in self.patterns.items() if name in alive}
        return Rules({name: kept[name] for name in _reached(kept, self.start)}, self.start)

    def joined(self) -> Rules:
        """With rules that are called once in place of their calls: libraries see further within one rule."""
        num_calls = Counter(
            leaf.name for pattern in self.patterns.values() for leaf in leaves(pattern) if isinstance(leaf, Call)
        )

        def join(leaf: Chars | Call) -> Pattern:
            is_single = isinstance(leaf, Call) and num_calls[leaf.name] == 1 and leaf.name != self.start
            return map_leaves(self.patterns[leaf.name], join) if isinstance(leaf, Call) and is_single else leaf

        kept = [name for name in self.patterns if num_calls[name] != 1 or name == self.start]
        return Rules({name: map_leaves(self.patterns[name], join) for name in kept}, self.start)

    def _productive(self) -> set[str]:
        """The least fixed point."""
        alive: set[str] = set()
        while more := {name for name, p in self.patterns.items() if name not in alive and _can_end(p, alive)}:
            alive |= more
        return alive


def _can_end(pattern: Pattern, alive: set[str]) -> bool:
    if isinstance(pattern, Chars):
        return bool(pattern.ranges)
    if isinstance(pattern, Call):
        return pattern.name in alive
    if isinstance(pattern, Repeat):
        return pattern.least == 0 or _can_end(pattern.item, alive)
    return (all if isinstance(pattern, Seq) else any)(_can_end(part, alive) for part in pattern.items)


def _reached(patterns: Mapping[str, Pattern], start: str) -> list[str]:
    """Names of the rules that the first one needs, itself first."""
    found, waiting = {start: None}, [start]
    while waiting:
        called = calls(patterns[waiting.pop()])
        waiting.extend(name for name in called if name not in found)
        found.update(dict.fromkeys(called))
    return list(found)
