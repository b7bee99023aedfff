"""Which block of the cache belongs to whom: reference counts and copy-on-write. Knows block ids, not their contents."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from ensue.engine.prefix_cache import PrefixCache


class BlockManager:
    """Hands out blocks of `block_size` positions; a block table is a sequence's list of block ids.

    Only blocks with one owner are written to: before a shared one is, its owner gets a copy. A block that the prefix
    cache knows stays findable while nobody owns it, until it is taken for something else: those that nothing can be
    found in are taken first, then the least recently used.
    """

    def __init__(self, num_blocks: int, block_size: int, prefixes: PrefixCache | None = None) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.prefixes = prefixes or PrefixCache(block_size)
        self._blank = deque(range(num_blocks))  # free
        self._findable = OrderedDict[int, None]()  # free as well; the least recently used first
        self._num_owners = [0] * num_blocks
        self._to_zero: list[int] = []  # blank, but may hold numbers that are not finite

    @property
    def num_free(self) -> int:
        return len(self._blank) + len(self._findable)

    @property
    def num_used(self) -> int:
        return self.num_blocks - self.num_free

    def num_needed(self, table: list[int], start: int, end: int, found: Sequence[int] = ()) -> int:
        """Free blocks that `adopt` of those found and then `extend` would take."""
        whole = [*table, *found]
        num_copies = sum(1 for _ in self._shared(whole, start, end))
        num_adopted = sum(1 for block in found if not self._num_owners[block])
        return max(0, self._num_blocks_for(end) - len(whole)) + num_copies + num_adopted

    def adopt(self, table: list[int], found: Sequence[int]) -> None:
        """Go on behind blocks that the prefix cache has found."""
        for block in found:
            self._findable.pop(block, None)
            self._num_owners[block] += 1
        table.extend(found)

    def extend(self, table: list[int], start: int, end: int) -> list[tuple[int, int]]:
        """Make positions [start, end) writable; [0, start) are computed.

        Returns:
            Block copies to make first, as (source, destination).
        """
        assert self.num_needed(table, start, end) <= self.num_free
        copies = []
        for index in list(self._shared(table, start, end)):
            copy = self._take()
            copies.append((table[index], copy))
            self._drop(table[index])
            table[index] = copy
        for index in self._touched(table, start, end):
            self.prefixes.forget(table[index])
        table.extend(self._take() for _ in range(self._num_blocks_for(end) - len(table)))
        return copies

    def fork(self, table: list[int]) -> list[int]:
        """A second table over the same blocks."""
        for block in table:
            self._num_owners[block] += 1
        return list(table)

    def release(self, table: list[int], *, num_kept: int = 0, is_tainted: bool = False) -> None:
        """Give a sequence's blocks back, but for the first ones. The last ones, of least use to others, go first.

        Args:
            is_tainted: let them be found no more, and wipe those that become free before they are used again. What
                others still own is read by them and theirs to judge: wiping it later could hit its next owner.
        """
        released = table[num_kept:]
        for block in reversed(released):
            if is_tainted:
                self.prefixes.forget(block)
            self._drop(block)
        if is_tainted:
            self._to_zero.extend(block for block in released if not self._num_owners[block])
        del table[num_kept:]

    def take_blocks_to_zero(self) -> list[int]:
        """Freed tainted blocks; the caller wipes them before the next step writes to the cache."""
        blocks, self._to_zero = self._to_zero, []
        return blocks

    def num_owners(self, block: int) -> int:
        return self._num_owners[block]

    def _shared(self, table: list[int], start: int, end: int) -> Iterable[int]:
        """Indices of the table's blocks that positions [start, end) touch and that have other owners."""
        return (index for index in self._touched(table, start, end) if self._num_owners[table[index]] > 1)

    def _touched(self, table: list[int], start: int, end: int) -> range:
        return range(start // self.block_size, min(len(table), self._num_blocks_for(end)))

    def _num_blocks_for(self, num_positions: int) -> int:
        return -(-num_positions // self.block_size)

    def _take(self) -> int:
        block = self._blank.popleft() if self._blank else self._findable.popitem(last=False)[0]
        self.prefixes.forget(block)
        assert self._num_owners[block] == 0
        self._num_owners[block] = 1
        return block

    def _drop(self, block: int) -> None:
        self._num_owners[block] -= 1
        assert self._num_owners[block] >= 0
        if self._num_owners[block]:
            return
        if block in self.prefixes:
            self._findable[block] = None
        else:
            self._blank.append(block)
