"""The beams of one request as sequences of the step loop: they wait for one another, and are told of rank by rank."""

from __future__ import annotations

from collections.abc import Iterator

from ensue.engine.beam import BeamSearch, EndedBeam, Ending
from ensue.engine.guide import Guide
from ensue.engine.rows import Candidates, columns_of
from ensue.engine.sequence import Sequence
from ensue.outputs import FinishReason, Timings, TokenOutput

NOTHING = EndedBeam((), float("-inf"), FinishReason.LENGTH, is_stuck=True)  # where there are fewer texts than asked for

EMPTY = EndedBeam((), 0.0, FinishReason.STOP, is_complete=True)


class BeamGroup:
    """Beams go on together: one whose candidates are known has nothing to compute until those of the others are.

    So it does not matter which of them a step has room for, and each is asked once a length, whatever becomes of its
    blocks meanwhile.
    """

    def __init__(self, root: Sequence) -> None:
        """
        Args:
            root: the prompt, from which all beams grow.
        """
        request = root.request
        assert request.beam is not None
        self._ending_ids = frozenset((*request.end_token_ids, *request.stop_token_ids))
        self._request = request
        self._search = BeamSearch(request.beam, self._ending, request.max_tokens)
        self._guides: dict[tuple[int, int], Guide] = {}  # after a token: by the beam's place and the token
        self._candidates: dict[int, Candidates] = {}  # by place among the beams
        self._root = root
        self.beams = [root]
        self.ranks = list(range(request.num_samples))  # those that will be told of: stopped ones will not

    @property
    def is_done(self) -> bool:
        return self._search.is_done

    @property
    def has_all(self) -> bool:
        """Whether all beams have their candidates."""
        return len(self._candidates) == len(self.beams)

    def hold(self, beam: Sequence, candidates: Candidates) -> None:
        """Keep what may follow a beam until the group is complete."""
        self._candidates[beam.sample] = candidates

    def advance(self) -> list[tuple[Sequence, Sequence]]:
        """Choose the beams of the next length: (beam, the one it grew from), without blocks yet; none at the end.

        Raises:
            GenerationFailed: the grammar can't go on.
        """
        root = self.beams[0]
        if root.guide is not None and root.guide.is_complete:  # before the first token: only the empty text is allowed
            self._search.end_with(EMPTY)
        else:
            self._search.advance([self._candidates[place] for place in range(len(self.beams))])
        self._candidates = {}
        parents = [self.beams[beam.parent] for beam in self._search.running]
        beams = [
            parent.fork(place, beam.tokens[-1], self._guides.get((beam.parent, beam.tokens[-1].token_id)))
            for place, (parent, beam) in enumerate(zip(parents, self._search.running, strict=True))
        ]
        self.beams, self._guides = beams, {}
        return list(zip(beams, parents, strict=True))

    def _ending(self, place: int, token_id: int) -> Ending | None:
        """End and stop tokens end a guided text only where it satisfies its constraint; elsewhere they are text."""
        guide = self.beams[place].guide
        if token_id in self._ending_ids and (guide is None or guide.is_accepting):
            return Ending.TOKEN
        if guide is None:
            return None
        if (place, token_id) not in self._guides:
            after = self._guides[place, token_id] = guide.fork()
            after.accept(token_id)
        return Ending.COMPLETE if self._guides[place, token_id].is_complete else None

    # ---- outputs

    def results(self, timings: Timings) -> Iterator[TokenOutput]:
        """The best beams, whole."""
        ended = self._search.ended
        for rank in self.ranks:
            yield self._result(rank, ended[rank] if rank < len(ended) else NOTHING, timings)

    def endings(self, reason: FinishReason, error_code: str | None, timings: Timings) -> Iterator[TokenOutput]:
        """For each rank, that it ends without a result."""
        return (self.ending(rank, reason, error_code, timings) for rank in self.ranks)

    def ending(self, rank: int, reason: FinishReason, error_code: str | None, timings: Timings) -> TokenOutput:
        return TokenOutput(
            rank,
            finish_reason=reason,
            error_code=error_code,
            num_cached_tokens=self._num_cached_tokens(rank),
            timings=timings,
        )

    def _result(self, rank: int, beam: EndedBeam, timings: Timings) -> TokenOutput:
        is_stopped = beam.finish_reason is FinishReason.STOP and not beam.is_complete
        last = beam.tokens[-1].token_id if is_stopped else None
        return TokenOutput(
            rank,
            tuple(token.token_id for token in beam.tokens),
            None if self._request.num_logprobs is None else columns_of(beam.tokens),
            finish_reason=beam.finish_reason,
            stop_token_id=None if last in self._request.end_token_ids else last,
            error_code="no_token_left" if beam.is_stuck else None,
            is_complete=beam.is_complete,
            beam_score=beam.score,
            num_cached_tokens=self._num_cached_tokens(rank),
            timings=timings,
        )

    def _num_cached_tokens(self, rank: int) -> int | None:
        return None if rank else self._root.num_cached_tokens or 0
