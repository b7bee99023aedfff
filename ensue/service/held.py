"""Tokens of one completion, given out with the text that they belong to: their ids, their log-probabilities."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ensue.service.logprobs import Entries, Logprobs, Scores, TokenEntries, TokenLogprob
from ensue.text.detokenizer import DetokenizedToken


class Released(NamedTuple):
    """What goes out with a piece of text; None for what was not asked for."""

    logprobs: Logprobs | None = None
    token_ids: tuple[int, ...] | None = None
    tokens: tuple[TokenLogprob, ...] | None = None


class HeldTokens:
    """Holds what was asked for of each token."""

    def __init__(self, entries: Entries | TokenEntries | None, *, has_ids: bool) -> None:
        """
        Args:
            entries: writes the log-probabilities; None where they are not wanted.
        """
        self._entries = entries
        self._has_ids = has_ids
        self._unplaced: deque[Scores | None] = deque()  # of tokens whose text is not certain yet
        self._placed: deque[tuple[DetokenizedToken, Scores | None]] = deque()

    def take(self, scores: Scores | None) -> None:
        """The numbers of the next token."""
        self._unplaced.append(scores)

    def place(self, tokens: Iterable[DetokenizedToken]) -> None:
        """Say where the oldest tokens without a place stand."""
        self._placed.extend((token, self._unplaced.popleft()) for token in tokens)

    def release(self, num_chars: int) -> Released:
        """The tokens whose characters are all among the first `num_chars`."""
        released = []
        while self._placed and self._placed[0][0].end <= num_chars:
            released.append(self._placed.popleft())
        return self._written(released, len(released))

    def release_all(self, num_chars: int) -> Released:
        """All tokens of a text that ends here; an entry goes with the text cut away unless a character of it stays."""
        released, self._placed = list(self._placed), deque()
        cut = next((i for i, (token, _) in enumerate(released) if token.end > token.start >= num_chars), len(released))
        return self._written(released, cut)

    def _written(self, tokens: list[tuple[DetokenizedToken, Scores | None]], num_entries: int) -> Released:
        ids = tuple(token.token_id for token, _ in tokens) if self._has_ids else None
        if self._entries is None:
            return Released(None, ids)
        scored = [(token, scores) for token, scores in tokens[:num_entries] if scores is not None]
        assert len(scored) == num_entries, "the engine was asked for numbers"
        if isinstance(self._entries, TokenEntries):
            return Released(None, ids, tuple(self._entries.entry(token, scores) for token, scores in scored))
        logprobs = Logprobs()
        for token, scores in scored:
            self._entries.add(logprobs, token, scores)
        return Released(logprobs, ids)
