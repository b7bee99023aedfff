"""Blocks under any sequence of extend, fork, write and release: none lost, none leaked, none shared by accident."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ensue.engine.block_manager import BlockManager

BLOCK_SIZE = 4


class Blocks(RuleBasedStateMachine):
    """A model beside it: what each table's positions hold, and what each block's memory holds."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(12, BLOCK_SIZE)
        self.tables: list[tuple[list[int], list[int]]] = []  # (table, values written at its positions)
        self.memory: dict[tuple[int, int], int] = {}
        self.num_writes = 0

    @precondition(lambda self: len(self.tables) < 6)
    @rule()
    def start(self) -> None:
        self.tables.append(([], []))

    @precondition(lambda self: self.tables)
    @rule(which=st.integers(0, 100), num_tokens=st.integers(1, 7), rewind=st.integers(0, 2))
    def extend(self, which: int, num_tokens: int, rewind: int) -> None:
        table, values = self.tables[which % len(self.tables)]
        start = max(0, len(values) - rewind)
        if self.manager.num_needed(table, start, start + num_tokens) > self.manager.num_free:
            return
        for source, destination in self.manager.extend(table, start, start + num_tokens):
            for offset in range(BLOCK_SIZE):
                self.memory[destination, offset] = self.memory.get((source, offset), -1)
        del values[start:]
        for position in range(start, start + num_tokens):
            self.num_writes += 1
            values.append(self.num_writes)
            self.memory[table[position // BLOCK_SIZE], position % BLOCK_SIZE] = self.num_writes

    @precondition(lambda self: self.tables)
    @rule(which=st.integers(0, 100))
    def fork(self, which: int) -> None:
        table, values = self.tables[which % len(self.tables)]
        if len(self.tables) < 6:
            self.tables.append((self.manager.fork(table), list(values)))

    @precondition(lambda self: self.tables)
    @rule(which=st.integers(0, 100), is_tainted=st.booleans())
    def release(self, which: int, is_tainted: bool) -> None:
        table, _ = self.tables.pop(which % len(self.tables))
        before = set(table)
        self.manager.release(table, is_tainted=is_tainted)
        freed = {block for block in before if self.manager.num_owners(block) == 0}
        zeroed = set(self.manager.take_blocks_to_zero())
        assert zeroed == (freed if is_tainted else set())

    @invariant()
    def every_table_reads_what_was_written_through_it(self) -> None:
        for table, values in self.tables:
            assert [self.memory[table[p // BLOCK_SIZE], p % BLOCK_SIZE] for p in range(len(values))] == values

    @invariant()
    def owners_and_free_blocks_add_up(self) -> None:
        owned = [block for table, _ in self.tables for block in table]
        assert all(self.manager.num_owners(block) == owned.count(block) for block in range(12))
        assert self.manager.num_free == 12 - len(set(owned))


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
