"""Sets of characters as ranges of code points, and what Unicode says of them, with room for readers who disagree."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MAX_CODE = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)

Ranges = tuple[tuple[int, int], ...]  # both ends are in; sorted, apart from one another


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """All characters of the sets; ranges may come in any order and overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(r for ranges in sets for r in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """All other characters; halves of characters are none."""
    found, at = [], 0
    for low, high in union(ranges, (_SURROGATES,)):
        if at < low:
            found.append((at, low - 1))
        at = high + 1
    return (*found, (at, MAX_CODE)) if at <= MAX_CODE else tuple(found)


def without(ranges: Ranges, others: Ranges) -> Ranges:
    return complement(union(complement(ranges), others))


def single(character: str) -> Ranges:
    return ((ord(character), ord(character)),)


def of(characters: str) -> Ranges:
    return union(*(single(c) for c in characters))


ALL = complement(())


@dataclass(frozen=True, slots=True)
class Class:
    """A class as regexes know it: what all readers take to be in, and what some reader does.

    Readers know different versions of Unicode, and \\d is ASCII for some. A text fits for all of them if it is made
    of `inner` alone; a denial turns the two around.
    """

    inner: Ranges
    outer: Ranges

    @classmethod
    def exactly(cls, ranges: Ranges) -> Class:
        return cls(ranges, ranges)

    def denied(self) -> Class:
        return Class(complement(self.outer), complement(self.inner))

    def or_else(self, other: Class) -> Class:
        return Class(union(self.inner, other.inner), union(self.outer, other.outer))

    def and_also(self, other: Class) -> Class:
        return self.denied().or_else(other.denied()).denied()


@functools.cache
def _categories() -> dict[str, Ranges]:
    """Ranges by general category."""
    found: dict[str, list[tuple[int, int]]] = {}
    for code in range(MAX_CODE + 1):
        ranges = found.setdefault(unicodedata.category(chr(code)), [])
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return {name: tuple(ranges) for name, ranges in found.items()}


def _in_categories(*names: str) -> Ranges:
    """Names of one letter stand for all categories that begin with it."""
    return union(*(ranges for name, ranges in _categories().items() if name.startswith(names)))


_WHITE_SPACE = union(of("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"), [(0x2000, 0x200A)])
_JOIN_CONTROL: Ranges = ((0x200C, 0x200D),)
_DIGITS: Ranges = ((0x30, 0x39),)


@functools.cache
def escape_class(letter: str) -> Class:
    r"""What one of \d \w \s \D \W \S stands for."""
    if letter.isupper():
        return escape_class(letter.lower()).denied()
    if letter == "d":
        return Class(_DIGITS, _in_categories("Nd", "Cn"))
    if letter == "s":
        return Class(of(" \t\n\r\x0b\x0c"), union(_WHITE_SPACE, [(0x1C, 0x1F)], single("\ufeff")))
    word = _in_categories("L", "M", "N", "Pc", "So", "Cn")
    return Class(union(_DIGITS, [(65, 90), (97, 122)], single("_")), union(word, _JOIN_CONTROL))


@functools.cache
def property_class(name: str) -> Class | None:
    r"""What \p{name} stands for; None for names that are not known here. Other versions may assign more characters."""
    if name == "White_Space":
        return Class.exactly(_WHITE_SPACE)
    if name == "Join_Control":
        return Class.exactly(_JOIN_CONTROL)
    if name == "Alphabetic":
        return Class(_in_categories("L", "Nl"), _in_categories("L", "M", "N", "So", "Cn"))
    is_category = name in _categories() or any(name == known[0] for known in _categories())
    if not is_category or name in ("C", "Cn", "Cs"):
        return None
    return Class(_in_categories(name), _in_categories(name, "Cn"))
