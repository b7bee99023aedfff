"""Beam search by itself: candidates in, beams that go on and beams that have ended out. Knows no sequences, no blocks.

As in transformers: of all continuations of all running beams, ranked by the sum of their log-probabilities, the first
`width` that don't end go on, and those among the first `width` that end are kept, the best `width` of them by score.
Ties: the beam that stands first, then the lower token id; of ended beams, the one that ended first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import NamedTuple

from ensue.engine.rows import Candidates, SampledToken
from ensue.outputs import FinishReason
from ensue.request import BeamParams


@dataclass(frozen=True, slots=True)
class Beam:
    """One text among those that compete; `total` is the sum of its tokens' log-probabilities."""

    tokens: tuple[SampledToken, ...] = ()
    total: float = 0.0
    parent: int = 0  # place among the running beams before it

    @property
    def length(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class EndedBeam:
    """A text that takes no more tokens."""

    tokens: tuple[SampledToken, ...]
    score: float
    finish_reason: FinishReason
    is_stuck: bool = False  # no token was left to go on with
    is_complete: bool = False  # by its grammar: its last token is text


class Ending(Enum):
    """How a token ends a beam."""

    TOKEN = 0  # it is an end or stop token
    COMPLETE = 1  # it is text, and nothing can follow it


Judge = Callable[[int, int], Ending | None]  # (place of the beam, token id) → whether that token ends it


class BeamSearch:
    """Holds the beams of one request and takes them from one length to the next."""

    def __init__(self, params: BeamParams, ending: Judge, max_length: int) -> None:
        """
        Args:
            ending: which tokens end a beam; they count for its length.
            max_length: tokens of a beam at most, at least 1.
        """
        self.running = [Beam()]
        self.ended: list[EndedBeam] = []  # the best so far, best first
        self._params = params
        self._ending = ending
        self._max_length = max_length

    @property
    def is_done(self) -> bool:
        """Whether `ended` is the result."""
        return not self.running

    def advance(self, candidates: Sequence[Candidates]) -> None:
        """Go on by one token.

        Args:
            candidates: for each running beam, in order, at least its `width` likeliest tokens that don't end it and
                all that are likelier than those.
        """
        width, length = self._params.width, self.running[0].length + 1
        stuck = [beam for beam, found in zip(self.running, candidates, strict=True) if not found.token_ids]
        ranked = sorted(self._continuations(candidates))
        ending = [c for c in ranked[:width] if self._ends(c, length)]
        going_on = islice((c for c in ranked if not self._ends(c, length)), width)
        self._keep(self._end(beam, is_stuck=True) for beam in stuck)
        self._keep(self._end(self._grown(c, candidates), self._ending(c.parent, c.token_id)) for c in ending)
        self.running = [self._grown(c, candidates) for c in going_on]
        if len(self.ended) == width and not self._can_improve():
            self.running = []

    def end_with(self, beam: EndedBeam) -> None:
        """Make this the only result."""
        self.running, self.ended = [], [beam]

    def _continuations(self, candidates: Sequence[Candidates]) -> Iterator[_Continuation]:
        for parent, (beam, found) in enumerate(zip(self.running, candidates, strict=True)):
            for place, (token_id, logprob) in enumerate(zip(found.token_ids, found.logprobs, strict=True)):
                yield _Continuation(-(beam.total + logprob), parent, token_id, place)

    def _grown(self, continuation: _Continuation, candidates: Sequence[Candidates]) -> Beam:
        parent = continuation.parent
        token = candidates[parent].token(continuation.place)
        return Beam((*self.running[parent].tokens, token), -continuation.loss, parent)

    def _ends(self, continuation: _Continuation, length: int) -> bool:
        return length == self._max_length or self._ending(continuation.parent, continuation.token_id) is not None

    def _end(self, beam: Beam, ending: Ending | None = None, *, is_stuck: bool = False) -> EndedBeam:
        reason = FinishReason.LENGTH if ending is None else FinishReason.STOP
        total = score(beam.total, beam.length, self._params.length_penalty)
        return EndedBeam(beam.tokens, total, reason, is_stuck, ending is Ending.COMPLETE)

    def _keep(self, ended: Iterator[EndedBeam]) -> None:
        """Those that are among the best."""
        self.ended = sorted([*self.ended, *ended], key=lambda beam: -beam.score)[: self._params.width]

    def _can_improve(self) -> bool:
        """Whether a running beam may yet score better than the worst that has ended; the first has the largest sum."""
        params = self._params
        if params.early_stopping is True or not self.running:
            return False
        best = self.running[0]
        grows = params.early_stopping == "never" and params.length_penalty > 0  # a longer text may score better
        length = self._max_length if grows else best.length
        return score(best.total, length, params.length_penalty) > self.ended[-1].score


class _Continuation(NamedTuple):
    """A candidate of a beam; their natural order is the ranking."""

    loss: float  # minus the sum of log-probabilities
    parent: int  # place among the running beams
    token_id: int
    place: int  # among the parent's candidates


def score(total: float, length: int, length_penalty: float) -> float:
    """total / length ^ length_penalty; a power beyond the range of floats makes it 0 or −∞. −∞ for no tokens at all."""
    if not length:
        return -math.inf
    try:
        return total / math.pow(length, length_penalty)
    except OverflowError:
        return -0.0
    except ZeroDivisionError:
        return -math.inf
