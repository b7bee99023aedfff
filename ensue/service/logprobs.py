"""The log-probabilities of an answer, as parallel lists, held back until their text is out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ensue.outputs import TokenLogprobs
from ensue.text.detokenizer import DetokenizedToken, token_name
from ensue.text.tokenizer import Tokenizer

LOWEST = -9999.0  # how −inf is written: JSON has no infinity


@dataclass(slots=True)
class Logprobs:
    """One entry per token; equal lengths."""

    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)  # None: the first token of a prompt
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)  # code points from the start of prompt + completion

    def append(self, name: str, logprob: float | None, top: dict[str, float] | None, offset: int) -> None:
        self.tokens.append(name)
        self.token_logprobs.append(logprob)
        self.top_logprobs.append(top)
        self.text_offset.append(offset)

    def extend(self, later: Logprobs) -> None:
        self.tokens += later.tokens
        self.token_logprobs += later.token_logprobs
        self.top_logprobs += later.top_logprobs
        self.text_offset += later.text_offset

    def joined(self, later: Logprobs) -> Logprobs:
        both = Logprobs()
        both.extend(self)
        both.extend(later)
        return both


@dataclass(frozen=True, slots=True)
class PromptLogprob:
    """One likely token at a place in a prompt, or the token that stands there."""

    logprob: float
    rank: int  # 1 is the likeliest
    decoded_token: str


PromptLogprobs = list[dict[int, PromptLogprob] | None]  # one map of ids per prompt token; None for the first


class Scores(NamedTuple):
    """What the engine said of one token; one row of TokenLogprobs."""

    logprob: float
    top_ids: tuple[int, ...]
    top_logprobs: tuple[float, ...]


def rows(columns: TokenLogprobs) -> Iterator[Scores]:
    return map(Scores, columns.chosen, columns.top_ids, columns.top_logprobs)


class Entries:
    """Writes the entries of one text: names, numbers and offsets."""

    def __init__(self, tokenizer: Tokenizer, num_top: int, first_offset: int = 0) -> None:
        self._tokenizer = tokenizer
        self._num_top = num_top
        self._first_offset = first_offset

    def add(self, logprobs: Logprobs, token: DetokenizedToken, scores: Scores) -> None:
        """Append one entry; the chosen token has the same number in both places."""
        chosen = _finite(scores.logprob)
        top = self._top(token, scores, chosen)
        logprobs.append(token.name, chosen, top, self._first_offset + token.start)

    def _top(self, token: DetokenizedToken, scores: Scores, chosen: float) -> dict[str, float]:
        top: dict[str, float] = {}
        for token_id, logprob in zip(scores.top_ids[: self._num_top], scores.top_logprobs, strict=False):
            is_chosen = token_id == token.token_id
            name = token.name if is_chosen else token_name(self._tokenizer, token_id)
            top.setdefault(name, chosen if is_chosen else _finite(logprob))  # sorted: the first of a name is the larger
        top.setdefault(token.name, chosen)
        return top


def prompt_logprobs(tokens: Iterable[DetokenizedToken], scores: Iterable[Scores], entries: Entries) -> Logprobs:
    """The entries of a prompt; nothing comes before its first token, so that one has no number."""
    logprobs, remaining = Logprobs(), iter(tokens)
    first = next(remaining)
    logprobs.append(first.name, None, None, first.start)
    for token, row in zip(remaining, scores, strict=True):
        entries.add(logprobs, token, row)
    return logprobs


class HeldLogprobs:
    """Entries of one completion, given out with the text that they belong to."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._unplaced: deque[Scores] = deque()  # of tokens whose text is not certain yet
        self._placed: deque[tuple[DetokenizedToken, Scores]] = deque()

    def take(self, scores: Scores) -> None:
        """The numbers of the next token."""
        self._unplaced.append(scores)

    def place(self, tokens: Iterable[DetokenizedToken]) -> None:
        """Say where the oldest tokens without a place stand."""
        self._placed.extend((token, self._unplaced.popleft()) for token in tokens)

    def release(self, num_chars: int) -> Logprobs:
        """The entries whose characters are all among the first `num_chars`."""
        logprobs = Logprobs()
        while self._placed and self._placed[0][0].end <= num_chars:
            self._entries.add(logprobs, *self._placed.popleft())
        return logprobs

    def release_all(self, num_chars: int) -> Logprobs:
        """All entries of a text that ends here; a token goes with the text cut away unless a character of it stays."""
        logprobs = Logprobs()
        for token, scores in self._placed:
            if token.end > token.start >= num_chars:
                break
            self._entries.add(logprobs, token, scores)
        self._placed.clear()
        return logprobs


def _finite(logprob: float) -> float:
    return LOWEST if logprob == -math.inf else logprob
