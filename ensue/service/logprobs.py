"""The log-probabilities of an answer: entries of parallel lists, and the maps of a prompt's likely tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec

from ensue.outputs import TokenLogprobs
from ensue.text.detokenizer import DetokenizedToken
from ensue.text.token_names import id_name
from ensue.text.tokenizer import Tokenizer

LOWEST = -9999.0  # how −inf is written: JSON has no infinity


class LikelyToken(msgspec.Struct, frozen=True):  # dozens a token, maybe: a dataclass takes longer to make
    """A token as lists of tokens show it."""

    token: Annotated[str, "Its text, or its name where it has none of its own"]
    logprob: Annotated[float, "Of the model's raw logits"]
    bytes: Annotated[tuple[int, ...] | None, "UTF-8, maybe a part of a character; null: an id without a token"]


class TokenLogprob(LikelyToken, frozen=True):
    """One token of a text, and the likeliest at its place."""

    top_logprobs: Annotated[tuple[LikelyToken, ...], "The likeliest tokens at this place"]


@dataclass(slots=True)
class Logprobs:
    """One entry per token; equal lengths."""

    tokens: Annotated[list[str], "Texts, in context"] = field(default_factory=list)
    token_logprobs: Annotated[list[float | None], "Null for the first token of a prompt"] = field(default_factory=list)
    top_logprobs: Annotated[list[dict[str, float] | None], "The likeliest, and the token itself"] = field(
        default_factory=list
    )
    text_offset: Annotated[list[int], "Code points from the start of prompt + completion"] = field(default_factory=list)

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


class PromptLogprob(msgspec.Struct, frozen=True):
    """One likely token at a place in a prompt, or the token that stands there."""

    logprob: Annotated[float, "Of the model's raw logits"]
    rank: Annotated[int, "1 is the likeliest"]
    decoded_token: Annotated[str, "Its text"]


PromptLogprobs = list[dict[int, PromptLogprob] | None]  # one map of ids per prompt token; None for the first


class Scores(NamedTuple):
    """What the engine said of one token; one row of TokenLogprobs."""

    logprob: float
    top_ids: tuple[int, ...]
    top_logprobs: tuple[float, ...]
    rank: int


def rows(columns: TokenLogprobs) -> Iterator[Scores]:
    return map(Scores, columns.chosen, columns.top_ids, columns.top_logprobs, columns.rank)


class Entries:
    """Writes the entries of one text: names, numbers and offsets."""

    def __init__(self, tokenizer: Tokenizer, num_top: int, first_offset: int = 0, *, names_ids: bool = False) -> None:
        """
        Args:
            names_ids: tokens are named by their ids, `token_id:7`.
        """
        self._token_names = tokenizer.token_names
        self._num_top = num_top
        self._first_offset = first_offset
        self._names_ids = names_ids

    def add(self, logprobs: Logprobs, token: DetokenizedToken, scores: Scores) -> None:
        """Append one entry; the chosen token has the same number in both places."""
        chosen = _finite(scores.logprob)
        top = self._top(token, scores, chosen)
        logprobs.append(self._chosen_name(token), chosen, top, self._first_offset + token.start)

    def add_first(self, logprobs: Logprobs, token: DetokenizedToken) -> None:
        """Append the entry of a prompt's first token: nothing comes before it, so it has no number."""
        logprobs.append(self._chosen_name(token), None, None, self._first_offset + token.start)

    def _top(self, token: DetokenizedToken, scores: Scores, chosen: float) -> dict[str, float]:
        top: dict[str, float] = {}
        for token_id, logprob in zip(scores.top_ids[: self._num_top], scores.top_logprobs, strict=False):
            is_chosen = token_id == token.token_id
            name = self._chosen_name(token) if is_chosen else self._name(token_id)
            top.setdefault(name, chosen if is_chosen else _finite(logprob))  # sorted: the first of a name is the larger
        top.setdefault(self._chosen_name(token), chosen)
        return top

    def _chosen_name(self, token: DetokenizedToken) -> str:
        return id_name(token.token_id) if self._names_ids else token.name

    def _name(self, token_id: int) -> str:
        return id_name(token_id) if self._names_ids else self._token_names[token_id]


class TokenEntries:
    """Writes the entries of a chat's answer: exactly the likeliest tokens, each with its bytes."""

    def __init__(self, tokenizer: Tokenizer, num_top: int, *, names_ids: bool = False) -> None:
        self._tokenizer = tokenizer
        self._token_names = tokenizer.token_names
        self._num_top = num_top
        self._names_ids = names_ids

    def entry(self, token: DetokenizedToken, scores: Scores) -> TokenLogprob:
        likeliest = zip(scores.top_ids[: self._num_top], scores.top_logprobs, strict=False)
        top = tuple(
            LikelyToken(self._name(token_id), _finite(logprob), self._bytes(token_id))
            for token_id, logprob in likeliest
        )
        name = id_name(token.token_id) if self._names_ids else token.name
        return TokenLogprob(name, _finite(scores.logprob), self._bytes(token.token_id), top)

    def _name(self, token_id: int) -> str:
        return id_name(token_id) if self._names_ids else self._token_names[token_id]

    def _bytes(self, token_id: int) -> tuple[int, ...] | None:
        return tuple(self._tokenizer.token_bytes(token_id)) or None


def prompt_entries(tokens: Iterable[DetokenizedToken], scores: Iterable[Scores], entries: Entries) -> Logprobs:
    """The entries of a prompt."""
    logprobs, remaining = Logprobs(), iter(tokens)
    entries.add_first(logprobs, next(remaining))
    for token, row in zip(remaining, scores, strict=True):
        entries.add(logprobs, token, row)
    return logprobs


def prompt_maps(
    token_ids: Sequence[int], scores: Iterable[Scores], num_top: int, tokenizer: Tokenizer
) -> PromptLogprobs:
    """For each prompt token the likeliest at its place, best first, and the token itself."""
    names = tokenizer.token_names
    return [None, *(_map(id_, row, num_top, names) for id_, row in zip(token_ids[1:], scores, strict=True))]


def _map(token_id: int, scores: Scores, num_top: int, names: Mapping[int, str]) -> dict[int, PromptLogprob]:
    likeliest = zip(scores.top_ids[:num_top], scores.top_logprobs, strict=False)
    numbers = {id_: (logprob, rank) for rank, (id_, logprob) in enumerate(likeliest, start=1)}
    numbers[token_id] = (scores.logprob, scores.rank)
    return {id_: PromptLogprob(_finite(logprob), rank, names[id_]) for id_, (logprob, rank) in numbers.items()}


def _finite(logprob: float) -> float:
    return LOWEST if logprob == -math.inf else logprob
