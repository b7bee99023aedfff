"""Globs on model names: `*` is any text, `?` one character, `&` joins globs that must all match. Case matters."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

AND = "&"


def is_valid(glob: str) -> bool:
    """Whether it says something on both sides of each `&`."""
    return all(glob.split(AND))


def matches(glob: str, name: str) -> bool:
    return all(pattern.fullmatch(name) for pattern in _compiled(glob))


def intersect(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """Globs for what both lists match: each of ours that one of theirs covers, else joined with those it meets."""
    common: dict[str, None] = {}
    for glob in ours:
        if any(_covers_all(their, glob) for their in theirs):
            common[glob] = None
        else:
            common |= dict.fromkeys(_join(glob, their) for their in theirs if _may_meet(glob, their))
    return tuple(common)


def _join(a: str, b: str) -> str:
    """The conjunction, less the parts that others of its parts make superfluous."""
    kept: list[str] = []
    for part in (*a.split(AND), *b.split(AND)):
        if not any(_covers(part, other) for other in kept):
            kept = [other for other in kept if not _covers(other, part)] + [part]
    return AND.join(kept)


def _covers_all(wide: str, narrow: str) -> bool:
    """Whether each part of `wide` is implied by a part of `narrow`."""
    return all(any(_covers(part, other) for other in narrow.split(AND)) for part in wide.split(AND))


def _may_meet(a: str, b: str) -> bool:
    """False where the texts before the first wildcards differ, or a name is not matched: then nothing is common."""
    return all(_may_meet_alone(one, other) for one in a.split(AND) for other in b.split(AND))


def _may_meet_alone(a: str, b: str) -> bool:
    for one, other in ((a, b), (b, a)):
        if not _has_wildcard(one):
            return matches(other, one)
    start_a, start_b = re.split(r"[*?]", a)[0], re.split(r"[*?]", b)[0]
    end_a, end_b = re.split(r"[*?]", a)[-1], re.split(r"[*?]", b)[-1]
    starts_alike = start_a.startswith(start_b) or start_b.startswith(start_a)
    return starts_alike and (end_a.endswith(end_b) or end_b.endswith(end_a))


def _has_wildcard(glob: str) -> bool:
    return "*" in glob or "?" in glob


@functools.lru_cache(4096)
def _covers(wide: str, narrow: str) -> bool:
    """Whether every name that `narrow` matches is matched by `wide`; both without `&`. May miss odd equal spellings."""
    reached = {0}  # [0, i) of `wide` is used up, for each i
    for character in [*narrow, ""]:
        reached |= _skip_stars(wide, reached)
        if character:
            reached = {_next(wide, i) for i in reached if _takes(wide, i, character)}
    return len(wide) in reached


def _skip_stars(wide: str, reached: set[int]) -> set[int]:
    more = set(reached)
    for i in reached:
        while i < len(wide) and wide[i] == "*":
            i += 1
            more.add(i)
    return more


def _takes(wide: str, i: int, character: str) -> bool:
    if i == len(wide):
        return False
    return wide[i] == "*" or (character != "*" and wide[i] in ("?", character))


def _next(wide: str, i: int) -> int:
    return i if wide[i] == "*" else i + 1


@functools.lru_cache(4096)
def _compiled(glob: str) -> tuple[re.Pattern[str], ...]:
    return tuple(_pattern(part) for part in glob.split(AND))


def _pattern(glob: str) -> re.Pattern[str]:
    """Possessive and in order of need: a text after `*` is taken where it first stands, so that nothing backtracks."""
    pieces = [re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", glob)]
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    first, *middle, last = pieces
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + f".*{last}", re.DOTALL)
