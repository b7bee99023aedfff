"""What the next step computes: which tokens of which sequences, under a budget of tokens, slots and blocks.

There is no prefill and no decode: a step is a list of (sequence, interval of positions). A prompt's chunk, a newest
token and a recomputed one are the same thing. Knows no tensors, no texts, no sockets.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, takewhile

from ensue.engine.block_manager import BlockManager
from ensue.engine.fair_share import Absences, Claim, blocks_held, heads, key_of, largest, shares_of_step, turns
from ensue.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class ScheduledSequence:
    """Positions [start, end) of a sequence, to be computed in this step."""

    sequence: Sequence
    start: int
    end: int

    @property
    def is_sampled(self) -> bool:
        """Whether the last row chooses the sequence's next token."""
        return self.end == self.sequence.num_tokens and self.sequence.request.max_tokens > 0

    @property
    def scored(self) -> range:
        """Positions of the tokens that these rows predict and whose log-probabilities are wanted."""
        wanted = self.sequence.to_score
        return range(max(self.start + 1, wanted.start), min(self.end + 1, wanted.stop))

    @property
    def num_scored_logprobs(self) -> int:
        """How many of the likeliest tokens are wanted beside them."""
        sequence = self.sequence
        count = sequence.request.num_logprobs if sequence.num_held else sequence.request.num_prompt_logprobs
        return count or 0


@dataclass(frozen=True, slots=True)
class SchedulerOutput:
    """One step: wipe blocks, copy blocks, then compute."""

    scheduled: list[ScheduledSequence] = field(default_factory=list)
    blocks_to_zero: list[int] = field(default_factory=list)
    blocks_to_copy: list[tuple[int, int]] = field(default_factory=list)  # (source, destination)


class Scheduler:
    """Keeps the running and the waiting sequences, both in the order of service.

    A waiting sequence may hold blocks: those of a prompt that another sample has computed; and so does a paused one.
    They are taken back first when blocks run out, then those of the youngest running sequence; what was lost is
    computed again later. Blocks that a running sequence reads as well are left alone: taking them would free nothing,
    and lose the sharing.

    Keys share: a step's chunks, the slots and, where there are too few, the blocks (`fair_share`). With one key all of
    it is first come, first served.
    """

    def __init__(
        self, blocks: BlockManager, max_num_seqs: int, max_num_batched_tokens: int, *, has_prefix_cache: bool = True
    ) -> None:
        self.blocks = blocks
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.paused: list[Sequence] = []  # beams with nothing to compute until the others of their group are as far
        self.num_preemptions = 0
        self._absences = Absences()
        self._num_steps = 0
        self._has_prefix_cache = has_prefix_cache
        self._max_num_seqs = max_num_seqs
        self._max_num_batched_tokens = max(max_num_batched_tokens, max_num_seqs)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence behind those before it in the order of service."""
        _insert(self.waiting, sequence)

    def schedule(self) -> SchedulerOutput:
        """Choose the next step: of a key's share, one token of each that generates has its place, the rest is chunks."""
        self._num_steps += 1
        self._make_way()
        work = SchedulerOutput(blocks_to_zero=self.blocks.take_blocks_to_zero())
        shares = shares_of_step(self._max_num_batched_tokens, self._active())
        places = Counter(key_of(sequence) for sequence in self.running if sequence.has_place)
        chunks = {key: max(0, share - places[key]) for key, share in shares.items()}
        num_preemptions = self.num_preemptions
        self._absences.note(self.running)
        for sequence in list(self.running):
            key = key_of(sequence)
            num_placed = min(1, shares[key]) if sequence.has_place else 0
            num_shared = min(sequence.num_to_compute - num_placed, chunks[key])
            num_tokens = max(num_placed + num_shared, [sequence] == self.running[:1])  # lest nothing moves
            if num_tokens and not sequence.is_preempted and self._make_room(sequence, num_tokens):
                shares[key] -= num_placed
                chunks[key] -= num_shared
                self._schedule(sequence, num_tokens, work)
        if self.num_preemptions == num_preemptions:
            self._admit(chunks, work)
        return work

    def confirm(self, item: ScheduledSequence) -> None:
        """Note that a step's positions are in the cache, and finite: blocks that they fill can be found from now on."""
        sequence, block_size = item.sequence, self.blocks.block_size
        sequence.num_computed = item.end
        sequence.is_catching_up &= item.end < sequence.num_tokens
        first, end = item.start // block_size, item.end // block_size
        if self._has_prefix_cache and first < end:
            hashes = self._hashes(sequence, end)
            for index in range(first, end):
                self.blocks.prefixes.add(sequence.block_table[index], hashes[index])

    def fork(self, leader: Sequence) -> None:
        """Let the samples that wait for this prompt share its blocks; each computes the last position itself."""
        for sibling in leader.siblings:
            sibling.block_table = self.blocks.fork(leader.block_table)
            sibling.block_hashes = leader.block_hashes
            sibling.num_computed = leader.num_prompt_tokens - 1
            sibling.next_to_score = leader.num_prompt_tokens
            self.add(sibling)
        leader.siblings = []

    def pause(self, beam: Sequence) -> None:
        """Give up the slot of a beam that has nothing to compute; it keeps its blocks while there are enough.

        The next of its group has the slot, as if they were one sequence that goes on.
        """
        self.running.remove(beam)
        _insert(self.paused, beam)
        heir = next((s for s in self.waiting if s.handle == beam.handle), None)
        if heir is not None:
            self._enter(heir)

    def branch(self, beams: list[tuple[Sequence, Sequence]]) -> None:
        """Go on with beams in the blocks of those they grew from, given as pairs; they take the slots that are free."""
        for beam, parent in beams:
            beam.block_table = self.blocks.fork(parent.block_table)
            beam.num_computed = parent.num_computed
            _insert(self.running if len(self.running) < self._max_num_seqs else self.waiting, beam)

    def remove(self, sequence: Sequence, *, is_tainted: bool = False) -> None:
        """Forget a sequence that has ended. Where others wait for its prompt, the first of them goes on with it."""
        queue = next(queue for queue in (self.running, self.waiting, self.paused) if sequence in queue)
        queue.remove(sequence)
        sequence.is_catching_up = False
        if not sequence.siblings:
            self.blocks.release(sequence.block_table, is_tainted=is_tainted)
            return
        heir, *siblings = sequence.siblings
        heir.take_over(sequence, siblings)
        _insert(queue, heir)

    def _active(self) -> list[Sequence]:
        """Those that want a part of the step's tokens: of a key whose next has no room, those that wait don't."""
        if not self.waiting or len(self.running) >= self._max_num_seqs:
            return self.running
        if not self.running:  # what waits may yet lose its blocks to the next of it
            return self.waiting
        keys = {key_of(sequence) for sequence in heads(self.waiting, self.running) if not self._lacks(sequence)}
        return self.running + [sequence for sequence in self.waiting if key_of(sequence) in keys]

    def _make_way(self) -> None:
        """Start those for whom other keys have to give way, before those that run take more."""
        while self.waiting and self._has_rivals():
            first, *others = heads(self.waiting, self.running)
            is_next = not self._runs(key_of(first)) or self._lacks(first)
            if is_next and self._claim(first):
                continue
            if not any(self._is_new(other) and self._lacks(other) and self._claim(other) for other in others):
                return

    def _claim(self, candidate: Sequence) -> bool:
        """Start a sequence, and let others give way where there is no room for it; nobody, if that is not enough."""
        givers = self._givers(candidate)
        for sequence in givers:
            if sequence in self.running:
                self._preempt(sequence)
        for sequence in givers:
            self._take_back(sequence)
        if self._lacks(candidate):
            return False
        self._start(candidate, self._find_prefix(candidate))
        return True

    def _lacks(self, candidate: Sequence) -> bool:
        return len(self.running) >= self._max_num_seqs or self._num_needed(candidate) > self.blocks.num_free

    def _runs(self, key: str) -> bool:
        return any(key_of(sequence) == key for sequence in chain(self.running, self.paused))

    def _is_new(self, candidate: Sequence) -> bool:
        """Whether it asks for the first time, for a key that runs nothing."""
        return candidate.scheduled_at is None and not candidate.is_preempted and not self._runs(key_of(candidate))

    def _has_rivals(self) -> bool:
        """Whether several keys want something; while there is one, nobody is above a share."""
        key = key_of(self.waiting[0])
        return any(key_of(sequence) != key for sequence in chain(self.running, self.waiting))

    def _givers(self, candidate: Sequence) -> list[Sequence]:
        """Those who have to go for this one to start, in order: of the key that holds most, the youngest."""
        needs_slot, num_blocks = len(self.running) >= self._max_num_seqs, self._num_needed(candidate)
        num_lacking = num_blocks - self.blocks.num_free
        live, givers = [s for s in self._live() if s.block_table or s in self.running], list[Sequence]()
        owners = Counter(block for sequence in live for block in sequence.block_table)
        while needs_slot or num_lacking > 0:
            holders = [s for s in (self.running if needs_slot else live) if s not in givers and s is not candidate]
            held = Counter(map(key_of, holders)) if needs_slot else blocks_held(s for s in live if s not in givers)
            claim = Claim(candidate, held, 1 if needs_slot else num_blocks)
            giver = largest(self._may_go(claim, holders), held)
            if giver is None:
                return []
            givers.append(giver)
            owners.subtract(giver.block_table)
            num_lacking -= sum(not owners[block] for block in giver.block_table)
            needs_slot = needs_slot and giver not in self.running
        return givers

    def _may_go(self, claim: Claim, holders: list[Sequence]) -> list[Sequence]:
        """Of those that hold what is claimed, whose keys are above their share.

        The first that runs is spared, so that whatever happens one comes to its end; but not from a key that runs
        nothing, which asks once for each of its requests.
        """
        rivals = [s for s in holders if claim.may_take_from(s)]
        key, is_new = key_of(claim.candidate), self._is_new(claim.candidate)
        rivals = [s for s in rivals if not s.is_catching_up or self._is_one_of_many(s)]
        above = [s for s in rivals if claim.is_above_share(s) and [s] != self.running[:1]]
        may_go = above if is_new else [s for s in above if not self._is_spared(s, key)]
        return may_go or [s for s in rivals if is_new and self._may_be_pushed(s, claim)]

    def _may_be_pushed(self, sequence: Sequence, claim: Claim) -> bool:
        """Whether its key holds more than its share of the time, too, or asks for more than one sequence."""
        key = key_of(sequence)
        if self._absences.is_safe(key, key_of(claim.candidate), self._num_steps):
            return False
        return claim.is_above_share(sequence) or self._is_one_of_many(sequence)

    def _is_one_of_many(self, sequence: Sequence) -> bool:
        """Whether its key asks for others, too."""
        return any(key_of(s) == key_of(sequence) for s in self._live() if s is not sequence)

    def _live(self) -> Iterator[Sequence]:
        return chain(self.running, self.waiting, self.paused)

    def _admit(self, shares: dict[str, int], work: SchedulerOutput) -> None:
        """Start waiting sequences in turn, each when there is room for all of it."""
        if len(self.running) >= self._max_num_seqs or not any(shares.values()):
            return
        for sequence in turns(self.waiting, self.running):
            share = shares.get(key_of(sequence), 0)
            if not share:
                continue
            found = self._find_prefix(sequence)
            if len(self.running) >= self._max_num_seqs or not self._has_room(sequence, found):
                return
            self._start(sequence, found)
            num_tokens = min(sequence.num_to_compute, share)
            shares[key_of(sequence)] -= num_tokens
            self._schedule(sequence, num_tokens, work)

    def _start(self, sequence: Sequence, found: list[int]) -> None:
        """Let a waiting sequence run, with blocks for all of it: what fits now still does when its chunks come."""
        self._skip(sequence, found)
        end_of_table = len(sequence.block_table) * self.blocks.block_size
        if end_of_table < sequence.num_tokens:
            self.blocks.extend(sequence.block_table, end_of_table, sequence.num_tokens)
        self._enter(sequence)

    def _enter(self, sequence: Sequence) -> None:
        self.waiting.remove(sequence)
        sequence.is_preempted, sequence.is_catching_up = False, True
        self._absences.come_back(sequence, self._num_steps)
        _insert(self.running, sequence)

    def _num_needed(self, sequence: Sequence) -> int:
        """Blocks that a waiting sequence lacks to start."""
        found = self._find_prefix(sequence)
        start = sequence.num_computed + len(found) * self.blocks.block_size
        return self.blocks.num_needed(sequence.block_table, start, sequence.num_tokens, found)

    def _has_room(self, sequence: Sequence, found: list[int]) -> bool:
        """Whether all of it fits; where nothing runs, the blocks of others that wait are taken back for it."""
        blocks, end = self.blocks, sequence.num_tokens
        start = sequence.num_computed + len(found) * blocks.block_size
        while blocks.num_needed(sequence.block_table, start, end, found) > blocks.num_free:
            if self.running or not self._reclaim_from_waiting(sequence):
                return False
        return True

    def _find_prefix(self, sequence: Sequence) -> list[int]:
        """Blocks that continue its table, computed before; positions whose rows are to be read are left."""
        blocks, num_held = self.blocks, len(sequence.block_table)
        end = sequence.num_skippable // blocks.block_size
        if not self._has_prefix_cache or end <= num_held:
            return []
        return blocks.prefixes.find(self._hashes(sequence, end)[num_held:end])

    def _hashes(self, sequence: Sequence, num_blocks: int) -> tuple[bytes, ...]:
        if len(sequence.block_hashes) < num_blocks:
            salt = sequence.request.cache_salt
            sequence.block_hashes = self.blocks.prefixes.chain(
                sequence.token_ids, salt, num_blocks, sequence.block_hashes
            )
        return sequence.block_hashes

    def _skip(self, sequence: Sequence, found: list[int]) -> None:
        """Go on behind the blocks found."""
        num_tokens = len(found) * self.blocks.block_size
        assert not found or sequence.num_computed == len(sequence.block_table) * self.blocks.block_size
        self.blocks.adopt(sequence.block_table, found)
        sequence.num_computed += num_tokens
        if sequence.num_cached_tokens is None:
            sequence.num_cached_tokens = min(num_tokens, sequence.num_prompt_tokens)

    def _schedule(self, sequence: Sequence, num_tokens: int, work: SchedulerOutput) -> None:
        start, end = sequence.num_computed, sequence.num_computed + num_tokens
        work.blocks_to_copy.extend(self.blocks.extend(sequence.block_table, start, end))
        work.scheduled.append(ScheduledSequence(sequence, start, end))

    def _make_room(self, sequence: Sequence, num_tokens: int) -> bool:
        """Take blocks from others until these tokens fit; false if the sequence itself had to give way."""
        start, end = sequence.num_computed, sequence.num_computed + num_tokens
        while self.blocks.num_needed(sequence.block_table, start, end) > self.blocks.num_free:
            if self._reclaim_from_waiting(sequence):
                continue
            preempted = self._last_to_keep(sequence)
            self._preempt(preempted)
            if preempted is sequence:
                return False
        return True

    def _last_to_keep(self, sequence: Sequence) -> Sequence:
        """The youngest of the key with most blocks, among this one and those behind it, not in this step yet.

        The first gives way to no other, but where all those have only begun, for other keys.
        """
        behind = self.running[self.running.index(sequence) :]
        may_go = [s for s in behind if not self._is_spared(s, key_of(sequence))]
        if behind[0] is self.running[0]:
            may_go = may_go[1:] or (may_go if len(behind) > 1 else [])
        return largest(may_go or behind[1:], blocks_held(self.running)) or sequence

    def _is_spared(self, sequence: Sequence, key: str) -> bool:
        """Whether what this key needs is not to be taken from it."""
        own = key_of(sequence)
        return own != key and (sequence.is_catching_up or self._absences.is_safe(own, key, self._num_steps))

    def _reclaim_from_waiting(self, sequence: Sequence) -> bool:
        """Take the blocks of a waiting or paused one (but this one), of the key with most; false if none holds any."""
        in_use = self._blocks_in_use()
        idle = (s for s in (*self.waiting, *self.paused) if s is not sequence)
        holders = (s for s in idle if not in_use.issuperset(s.block_table))
        youngest = largest(holders, blocks_held(self._live()))
        if youngest is not None:
            self._take_back(youngest)
        return youngest is not None

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._take_back(sequence)
        sequence.is_preempted, sequence.is_catching_up = True, False
        sequence.num_preemptions += 1
        self.num_preemptions += 1
        self.add(sequence)
        key = key_of(sequence)
        if not any(key_of(s) == key for s in self.running):
            self._absences.keep({key_of(s) for s in self._live()})
            self._absences.leave(key, self._num_steps)

    def _take_back(self, sequence: Sequence) -> None:
        """Take its blocks, but for the first ones that running sequences share with it."""
        shared = list(takewhile(self._blocks_in_use().__contains__, sequence.block_table))
        self.blocks.release(sequence.block_table, num_kept=len(shared))
        sequence.num_computed = min(sequence.num_computed, len(shared) * self.blocks.block_size)

    def _blocks_in_use(self) -> set[int]:
        return {block for sequence in self.running for block in sequence.block_table}


def _insert(queue: list[Sequence], sequence: Sequence) -> None:
    bisect.insort(queue, sequence, key=lambda s: s.key)
