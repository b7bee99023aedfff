"""Find stop strings in text as it comes: one automaton for all of them, and no more held back than needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple


class StopMatch(NamedTuple):
    """A stop string found at characters [start, end) of the text."""

    stop: str
    start: int
    end: int


class _Node:
    """A prefix of some stop string (Aho and Corasick, 1975)."""

    __slots__ = ("children", "depth", "fallback", "stop", "suffix")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.children: dict[str, _Node] = {}
        self.fallback: _Node | None = None  # the longest proper suffix of this prefix that is a prefix, too
        self.stop: str | None = None  # the stop string that this prefix is
        self.suffix: _Node | None = None  # the nearest fallback that is a whole stop string


class StopMatcher:
    """Feed text piece by piece; what comes back may be shown.

    After each piece the earliest match so far counts, the longest of those that start together. Only a live prefix of
    a stop string is held back.
    """

    def __init__(
        self, stops: Sequence[str], *, keeps_stop: bool = False, may_end_at: Callable[[int], bool] | None = None
    ) -> None:
        """
        Args:
            may_end_at: whether the text may end after so many characters; matches elsewhere don't count.
            keeps_stop: the text ends after the stop string, not before it; then nothing need be held back.
        """
        self.matched: StopMatch | None = None
        self._keeps_stop = keeps_stop
        self._may_end_at = may_end_at
        self._root = _build(stops)
        self._node = self._root
        self._held = ""
        self._num_chars = 0

    def feed(self, text: str, *, may_match: bool = True) -> str:
        """Take the next piece; returns text that no match can reach any more, nothing after a match.

        Args:
            may_match: stop strings that end in this piece count; those that only begin in it always do.
        """
        if self.matched is not None:
            return ""
        if not self._root.children:
            return text
        found = self._read(text)
        held = self._held + text
        if found and may_match:
            self.matched = self._first(found)
        if self.matched is not None:
            cut = self.matched.end if self._keeps_stop else self.matched.start
            return held[: cut - (self._num_chars - len(held))]
        safe = len(held) - (0 if self._keeps_stop else self._node.depth)
        self._held = held[safe:]
        return held[:safe]

    def _first(self, found: list[StopMatch]) -> StopMatch | None:
        """The earliest match, the longest of those that start together."""
        in_order = sorted(found, key=lambda match: (match.start, -match.end))
        may_end = self._may_end_at
        return next((match for match in in_order if may_end is None or may_end(match.start)), None)

    def flush(self) -> str:
        """End the text: nothing more can complete what was held back."""
        held, self._held = self._held, ""
        return "" if self.matched is not None else held

    def _read(self, text: str) -> list[StopMatch]:
        """Go on to the longest prefix that is still alive; returns what ended in this piece."""
        found: list[StopMatch] = []
        for character in text:
            self._num_chars += 1
            self._node = self._next(character)
            node = self._node if self._node.stop else self._node.suffix
            while node is not None:
                assert node.stop is not None
                found.append(StopMatch(node.stop, self._num_chars - node.depth, self._num_chars))
                node = node.suffix
        while self._node.fallback is not None and not self._node.children:  # a whole stop string grows no more
            self._node = self._node.fallback
        return found

    def _next(self, character: str) -> _Node:
        node: _Node | None = self._node
        while node is not None and character not in node.children:
            node = node.fallback
        return self._root if node is None else node.children[character]


def _build(stops: Sequence[str]) -> _Node:
    root = _Node(0)
    for stop in stops:
        node = root
        for character in stop:
            node = node.children.setdefault(character, _Node(node.depth + 1))
        node.stop = stop
    _link(root)
    return root


def _link(root: _Node) -> None:
    """Set the fallbacks, breadth first."""
    queue = deque([root])
    while queue:
        node = queue.popleft()
        for character, child in node.children.items():
            fallback = node.fallback
            while fallback is not None and character not in fallback.children:
                fallback = fallback.fallback
            child.fallback = root if fallback is None else fallback.children[character]
            child.suffix = child.fallback if child.fallback.stop else child.fallback.suffix
            queue.append(child)
