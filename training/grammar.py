"""Seeded text from patterns: ``[a|b]`` is a choice, ``{slot}`` a value. Some patterns and names are held out."""

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeVar

from training import words

T = TypeVar("T")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")

ONSETS = words.listed("b|d|f|g|h|j|k|l|m|n|p|r|s|t|v|w|z|br|ch|dr|fl|fr|gr|sh|st|th|tr||||", "|")
VOWELS = words.listed("a e i o u a e i o u a e i o u ai au ea ee ie")
CODAS = words.listed("l|m|n|r|s|t|x||||||||||", "|")
GIRL_ENDINGS = words.listed("a ia ie a ella etta y ina e is")
BOY_ENDINGS = words.listed("o on us er in ard an el io ix")


class Split(Enum):
    """Which part of the grammar a document may use."""

    TRAIN = "train"
    NAMES = "names"  # training patterns, names that training never shows
    PATTERNS = "patterns"  # patterns that training never shows, wherever there are some


def held_out(key: str, one_in: int = 12) -> bool:
    """Whether ``key`` (a pattern, a name or a sum) is kept from training; the same on every machine."""
    return zlib.crc32(key.encode()) % one_in == 0


def article(text: str) -> str:
    """``a apple`` becomes ``an apple``; the word lists hold no exception such as *hour*."""
    return _ARTICLE.sub(r"\1n ", text)


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


class Voice:
    """A random source that respects a split. Owns the generator; everything else is passed in."""

    def __init__(self, seed: int | str, split: Split = Split.TRAIN) -> None:
        self.random = random.Random(f"{seed}/{split.value}")
        self.split = split

    def choice(self, options: Sequence[T]) -> T:
        return self.random.choice(options)

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        return self.random.sample(options, count)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def number(self, low: int, high: int) -> int:
        """A number in [low, high]."""
        return self.random.randint(low, high)

    def pattern(self, patterns: Sequence[str]) -> str:
        """One of ``patterns`` that this split may use."""
        kept = [pattern for pattern in patterns if held_out(pattern)]
        shown = [pattern for pattern in patterns if not held_out(pattern)]
        pool = kept if self.split is Split.PATTERNS else shown
        return self.choice(pool or shown or list(patterns))

    def say(self, patterns: Sequence[str], slots: Mapping[str, str]) -> str:
        """One pattern, its choices made and its slots filled."""
        return self.fill(self.pattern(patterns), slots)

    def fill(self, pattern: str, slots: Mapping[str, str]) -> str:
        while _CHOICE.search(pattern):
            pattern = _CHOICE.sub(lambda match: self.choice(match[1].split("|")), pattern)
        return article(_SLOT.sub(lambda match: _value(match[1], slots), pattern))

    def name(self, girl: bool) -> str:
        """A listed name, or in two of five cases a made-up one, so that copying does not depend on known names."""
        if self.split is Split.NAMES:
            return self.choice(words.HELD_OUT_GIRLS if girl else words.HELD_OUT_BOYS)
        if self.chance(0.4):
            return self._made_up_name(girl)
        return self.choice(words.GIRLS if girl else words.BOYS)

    def _made_up_name(self, girl: bool) -> str:
        syllables = (
            self.choice(ONSETS) + self.choice(VOWELS) + self.choice(CODAS) for _ in range(self.choice((1, 1, 2)))
        )
        end = self.choice("dklmnrstv") + self.choice(GIRL_ENDINGS if girl else BOY_ENDINGS)
        name = capitalised("".join(syllables) + end)
        return self._made_up_name(girl) if name in words.HELD_OUT_GIRLS + words.HELD_OUT_BOYS else name


def _value(slot: str, slots: Mapping[str, str]) -> str:
    """``{He}`` is the slot ``he`` with a capital."""
    if slot in slots:
        return slots[slot]
    return capitalised(slots[slot[0].lower() + slot[1:]])
