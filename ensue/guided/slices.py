"""Slices: tokens that llguidance allows at one go, where all of them fit. They change a mask's cost, never a mask.

No place within `[a-z ]{10,400}` is like another, so that without a slice that fits, each mask takes a walk through the
vocabulary. Making slices takes milliseconds and megabytes: there are only a few to choose from.
"""

from __future__ import annotations

import re

_COUNTED = re.compile(r"\[((?:\\.|[^\[\]\\^])+)\]\{\d+,\d{2,}\}", re.DOTALL)
_ITEM = re.compile(r"\\?.-\\?.|\\?.", re.DOTALL)
# Classes that tokens are made of, as their items; the first that lies within the class of a regex is taken.
_CLASSES = (
    ("a-z", "A-Z", "0-9", " "),
    ("a-z", "A-Z", "0-9"),
    ("a-z", "A-Z", " "),
    ("a-z", "A-Z"),
    ("a-z", " "),
    ("a-z",),
)

Slices = tuple[str, ...]  # as regexes; a token belongs to the first that it matches


def slices_for(regex: str) -> Slices | None:
    """For the first long count of a common class; None: those that are good for most grammars."""
    counted = _COUNTED.search(regex)
    items = set(_ITEM.findall(counted[1])) if counted else set()
    common = next((each for each in _CLASSES if items.issuperset(each)), None)
    return common and tuple(f"[{''.join(common)}]{{1,{length}}}" for length in (10, 30))
