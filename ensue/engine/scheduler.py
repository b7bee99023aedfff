"""What the next step computes: which tokens of which sequences, under a budget of tokens, slots and blocks.

There is no prefill and no decode: a step is a list of (sequence, interval of positions). A prompt's chunk, a newest
token and a recomputed one are the same thing. Knows no tensors, no texts, no sockets.
"""

from __future__ import annotations

import bisect
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile

from ensue.engine.block_manager import BlockManager
from ensue.engine.claims import Claims
from ensue.engine.fair_share import blocks_held, heads, key_of, largest, shares_of_step, turns
from ensue.engine.sequence import Sequence

MAX_CLAIMS = 4  # of keys that ask for the first time, to be looked at in a step


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
        self._claims = Claims(blocks, max_num_seqs, self.running, self.waiting, self.paused)
        self._has_prefix_cache = has_prefix_cache
        self._max_num_seqs = max_num_seqs
        self._max_num_batched_tokens = max(max_num_batched_tokens, max_num_seqs)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence behind those before it in the order of service."""
        _insert(self.waiting, sequence)

    def schedule(self) -> SchedulerOutput:
        """Choose the next step: in a key's share one token of each that generates has its place, the rest is chunks."""
        self._claims.begin_step()
        self._make_way()
        work = SchedulerOutput(blocks_to_zero=self.blocks.take_blocks_to_zero())
        shares = shares_of_step(self._max_num_batched_tokens, self._active())
        places = Counter(key_of(sequence) for sequence in self.running if sequence.has_place)
        chunks = {key: max(0, share - places[key]) for key, share in shares.items()}
        num_preemptions = self.num_preemptions
        self._claims.note_running()
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
        num_slots = self._max_num_seqs - len(self.running)
        in_turn = heads(self.waiting, self.running)[:num_slots]
        keys = {key_of(sequence) for sequence in takewhile(lambda s: not self._lacks(s), in_turn)}
        return self.running + [sequence for sequence in self.waiting if key_of(sequence) in keys]

    def _make_way(self) -> None:
        """Start those for whom other keys have to give way, before those that run take more."""
        while self.waiting and self._has_rivals():
            first, *others = heads(self.waiting, self.running)
            is_next = not self._claims.runs(key_of(first)) or self._lacks(first)
            if is_next and self._claim(first):
                continue
            others = list(islice(filter(self._claims.is_new, others), MAX_CLAIMS))
            if not any(self._lacks(other) and self._claim(other) for other in others):
                return

    def _claim(self, candidate: Sequence) -> bool:
        """Start a sequence, and let others give way where there is no room for it; nobody, if that is not enough."""
        givers = self._claims.givers(candidate, self._num_needed(candidate))
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

    def _has_rivals(self) -> bool:
        """Whether several keys want something; while there is one, nobody is above a share."""
        key = key_of(self.waiting[0])
        return any(key_of(sequence) != key for sequence in chain(self.running, self.waiting))

    def _admit(self, shares: dict[str, int], work: SchedulerOutput) -> None:
        """Start waiting sequences in turn, each when there is room for all of it."""
        for sequence in turns(self.waiting, self.running):
            if len(self.running) >= self._max_num_seqs or not any(shares.values()):
                return
            share = shares.get(key_of(sequence), 0)
            if not share:
                continue
            found = self._find_prefix(sequence)
            if not self._has_room(sequence, found):
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
        self._claims.come_back(sequence)
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
        may_go = [s for s in behind if not self._claims.is_spared(s, key_of(sequence))]
        if behind[0] is self.running[0]:
            may_go = may_go[1:] or (may_go if len(behind) > 1 else [])
        return largest(may_go or behind[1:], blocks_held(self.running)) or sequence

    def _reclaim_from_waiting(self, sequence: Sequence) -> bool:
        """Take the blocks of a waiting or paused one (but this one), of the key with most; false if none holds any."""
        in_use = self._blocks_in_use()
        idle = (s for s in (*self.waiting, *self.paused) if s is not sequence)
        holders = (s for s in idle if not in_use.issuperset(s.block_table))
        youngest = largest(holders, blocks_held(chain(self.running, self.waiting, self.paused)))
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
        self._claims.leave(sequence)

    def _take_back(self, sequence: Sequence) -> None:
        """Take its blocks, but for the first ones that running sequences share with it."""
        shared = list(takewhile(self._blocks_in_use().__contains__, sequence.block_table))
        self.blocks.release(sequence.block_table, num_kept=len(shared))
        sequence.num_computed = min(sequence.num_computed, len(shared) * self.blocks.block_size)

    def _blocks_in_use(self) -> set[int]:
        return {block for sequence in self.running for block in sequence.block_table}


def _insert(queue: list[Sequence], sequence: Sequence) -> None:
    bisect.insort(queue, sequence, key=lambda s: s.key)
