"""Who gives way to a waiting sequence of another key, and who is spared. Changes no queue and no block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from ensue.engine.block_manager import BlockManager
from ensue.engine.fair_share import blocks_held, key_of, largest, weight_of
from ensue.engine.sequence import Sequence


class Claims:
    """Reads the scheduler's queues, and remembers which keys had to give way."""

    def __init__(
        self,
        blocks: BlockManager,
        max_num_seqs: int,
        running: list[Sequence],
        waiting: list[Sequence],
        paused: list[Sequence],
    ) -> None:
        self._blocks = blocks
        self._max_num_seqs = max_num_seqs
        self._running, self._waiting, self._paused = running, waiting, paused
        self._absences = Absences()
        self._num_steps = 0
        self._num_live: Counter[str] | None = None  # by key; the same throughout a step

    def begin_step(self) -> None:
        self._num_steps += 1
        self._num_live = None

    def note_running(self) -> None:
        """Who runs in this step."""
        self._absences.note(self._running)

    def come_back(self, sequence: Sequence) -> None:
        """A sequence runs, maybe the first of a key that was out."""
        self._absences.come_back(sequence, self._num_steps)

    def leave(self, sequence: Sequence) -> None:
        """A sequence runs no more, maybe the last of its key."""
        key = key_of(sequence)
        if not any(key_of(s) == key for s in self._running):
            self._absences.keep({key_of(s) for s in self._live()})
            self._absences.leave(key, self._num_steps)

    def runs(self, key: str) -> bool:
        return any(key_of(sequence) == key for sequence in chain(self._running, self._paused))

    def is_new(self, candidate: Sequence) -> bool:
        """Whether it asks for the first time, for a key that runs nothing."""
        return candidate.scheduled_at is None and not candidate.is_preempted and not self.runs(key_of(candidate))

    def is_spared(self, sequence: Sequence, key: str) -> bool:
        """Whether what this key needs is not to be taken from it."""
        own = key_of(sequence)
        return own != key and (sequence.is_catching_up or self._absences.is_safe(own, key, self._num_steps))

    def givers(self, candidate: Sequence, num_blocks: int) -> list[Sequence]:
        """Those who have to go for this one to start, in order: of the key that holds most, the youngest.

        Args:
            num_blocks: that it needs.
        """
        needs_slot, num_lacking = len(self._running) >= self._max_num_seqs, num_blocks - self._blocks.num_free
        idle = [s for s in chain(self._waiting, self._paused) if s.block_table]
        holders, givers = self._running + idle, list[Sequence]()
        owners = Counter(block for sequence in holders for block in sequence.block_table)
        while needs_slot or num_lacking > 0:
            running = [s for s in self._running if s not in givers]
            held = Counter(map(key_of, running)) if needs_slot else blocks_held(holders)
            claim = Claim(candidate, held, 1 if needs_slot else num_blocks)
            giver = largest(self._may_go(claim, running if needs_slot else holders), held)
            if giver is None:
                return []
            givers.append(giver)
            holders.remove(giver)
            owners.subtract(giver.block_table)
            num_lacking -= sum(not owners[block] for block in giver.block_table)
            needs_slot = needs_slot and giver not in self._running
        return givers

    def _may_go(self, claim: Claim, holders: list[Sequence]) -> list[Sequence]:
        """Of those that hold what is claimed, whose keys are above their share.

        The first that runs is spared, so that whatever happens one comes to its end; but not from a key that runs
        nothing, which asks once for each of its requests.
        """
        rivals = [s for s in holders if claim.may_take_from(s) and not self._has_only_begun(s)]
        key, is_new = key_of(claim.candidate), self.is_new(claim.candidate)
        above = [s for s in rivals if claim.is_above_share(s) and [s] != self._running[:1]]
        may_go = above if is_new else [s for s in above if not self.is_spared(s, key)]
        return may_go or [s for s in rivals if is_new and self._may_be_pushed(s, claim)]

    def _may_be_pushed(self, sequence: Sequence, claim: Claim) -> bool:
        """Whether its key holds more than its share of the time, too, or asks for more than one sequence."""
        is_safe = self._absences.is_safe(key_of(sequence), key_of(claim.candidate), self._num_steps)
        return not is_safe and (claim.is_above_share(sequence) or self._is_one_of_many(sequence))

    def _has_only_begun(self, sequence: Sequence) -> bool:
        """Whether it is all that its key asks for, and waits for its first token itself."""
        return sequence.is_catching_up and not self._is_one_of_many(sequence)

    def _is_one_of_many(self, sequence: Sequence) -> bool:
        if self._num_live is None:
            self._num_live = Counter(map(key_of, self._live()))
        return self._num_live[key_of(sequence)] > 1

    def _live(self) -> Iterator[Sequence]:
        return chain(self._running, self._waiting, self._paused)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a waiting sequence asks of other keys: a slot, or so many blocks."""

    candidate: Sequence
    held: Mapping[str, int]  # slots or blocks, by key
    num_wanted: int

    def may_take_from(self, sequence: Sequence) -> bool:
        """Whether it is of another key and no more urgent."""
        is_rival = key_of(sequence) != key_of(self.candidate)
        return is_rival and sequence.request.priority >= self.candidate.request.priority

    def is_above_share(self, sequence: Sequence) -> bool:
        """Whether its key would hold more than the candidate's even after giving way."""
        wanted = (self.held[key_of(self.candidate)] + self.num_wanted) / weight_of(self.candidate)
        return self.held[key_of(sequence)] / weight_of(sequence) > wanted


class Absences:
    """Keys that had to give way with all they ran.

    Once back, they are safe until they have a token more than before, and for as many steps as they were out from those
    that ran meanwhile. So a key comes on, and gets its part of the time, however many others come.
    """

    def __init__(self) -> None:
        self._out: dict[str, tuple[int, set[str]]] = {}  # since which step, and who ran since
        self._back: dict[str, _Return] = {}

    def leave(self, key: str, step: int) -> None:
        self._out.setdefault(key, (step, set()))
        self._back.pop(key, None)

    def note(self, running: Iterable[Sequence]) -> None:
        """Who runs while others are out."""
        if self._out:
            keys = set(map(key_of, running))
            for _, rivals in self._out.values():
                rivals |= keys

    def come_back(self, sequence: Sequence, step: int) -> None:
        key = key_of(sequence)
        if key in self._out:
            left_at, rivals = self._out.pop(key)
            self._back[key] = _Return(sequence, 2 * step - left_at + 1, rivals)

    def is_safe(self, key: str, rival: str, step: int) -> bool:
        back = self._back.get(key)
        return back is not None and (back.first.is_catching_up or (step < back.safe_until and rival in back.rivals))

    def keep(self, keys: set[str]) -> None:
        """Forget all others."""
        self._out = {key: out for key, out in self._out.items() if key in keys}
        self._back = {key: back for key, back in self._back.items() if key in keys}


@dataclass(frozen=True, slots=True)
class _Return:
    first: Sequence
    safe_until: int
    rivals: set[str]  # that ran meanwhile
