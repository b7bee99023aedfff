"""Blocks under any sequence of starts, writes, forks and releases: none lost, leaked or shared by accident, and none
found that holds something else than what was looked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ensue.engine.block_manager import BlockManager

BLOCK_SIZE, NUM_BLOCKS, MAX_TABLES = 4, 12, 6
SALTS = (b"", b"salt")
TOKENS = st.integers(0, 1)  # so few that texts often begin alike
Content = tuple[bytes, tuple[int, ...]]  # the salt and all tokens up to a position


@dataclass
class Text:
    """What stands behind a block table."""

    salt: bytes
    tokens: list[int]
    table: list[int] = field(default_factory=list)

    def content(self, position: int) -> Content:
        return self.salt, tuple(self.tokens[: position + 1])


class Blocks(RuleBasedStateMachine):
    """A model beside it: what each block's memory holds, and what each hash stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
        self.texts: list[Text] = []
        self.memory: dict[tuple[int, int], Content | None] = {}
        self.meanings: dict[bytes, Content] = {}  # of every hash that a block was ever known by

    @precondition(lambda self: len(self.texts) < MAX_TABLES)
    @rule(salt=st.sampled_from(SALTS), tokens=st.lists(TOKENS, min_size=1, max_size=14))
    def start(self, salt: bytes, tokens: list[int]) -> None:
        """Go on behind what the prefix cache has of a prompt, and compute the rest."""
        text = Text(salt, [])
        prefixes, num_tokens = self.manager.prefixes, len(tokens)
        found = prefixes.find(prefixes.chain(tokens, salt, (num_tokens - 1) // BLOCK_SIZE))
        start = len(found) * BLOCK_SIZE
        if self.manager.num_needed([], start, num_tokens, found) <= self.manager.num_free:
            self.manager.adopt(text.table, found)
            text.tokens = tokens[:start]
            self.texts.append(text)
            self.write(text, tokens[start:])

    @precondition(lambda self: self.texts)
    @rule(which=st.integers(0, 100), tokens=st.lists(TOKENS, min_size=1, max_size=7), num_rewritten=st.integers(0, 2))
    def extend(self, which: int, tokens: list[int], num_rewritten: int) -> None:
        text = self.texts[which % len(self.texts)]
        start = max(0, len(text.tokens) - num_rewritten)
        if self.manager.num_needed(text.table, start, start + len(tokens)) <= self.manager.num_free:
            del text.tokens[start:]
            self.write(text, tokens)

    def write(self, text: Text, tokens: list[int]) -> None:
        """Compute positions, then make the blocks that they fill findable."""
        start = len(text.tokens)
        text.tokens += tokens
        for source, destination in self.manager.extend(text.table, start, len(text.tokens)):
            for offset in range(BLOCK_SIZE):
                self.memory[destination, offset] = self.memory.get((source, offset))
        for position in range(start, len(text.tokens)):
            self.memory[text.table[position // BLOCK_SIZE], position % BLOCK_SIZE] = text.content(position)
        full = range(start // BLOCK_SIZE, len(text.tokens) // BLOCK_SIZE)
        hashes = self.manager.prefixes.chain(text.tokens, text.salt, full.stop)
        for index in full:
            self.meanings[hashes[index]] = text.content((index + 1) * BLOCK_SIZE - 1)
            self.manager.prefixes.add(text.table[index], hashes[index])

    @precondition(lambda self: self.texts)
    @rule(which=st.integers(0, 100))
    def fork(self, which: int) -> None:
        text = self.texts[which % len(self.texts)]
        if len(self.texts) < MAX_TABLES:
            self.texts.append(Text(text.salt, list(text.tokens), self.manager.fork(text.table)))

    @precondition(lambda self: self.texts)
    @rule(which=st.integers(0, 100), is_tainted=st.booleans())
    def release(self, which: int, is_tainted: bool) -> None:
        table = self.texts.pop(which % len(self.texts)).table
        before = set(table)
        self.manager.release(table, is_tainted=is_tainted)
        freed = {block for block in before if self.manager.num_owners(block) == 0}
        zeroed = set(self.manager.take_blocks_to_zero())
        assert zeroed == (freed if is_tainted else set())
        self.memory |= {(block, offset): None for block in zeroed for offset in range(BLOCK_SIZE)}
        if is_tainted:
            assert not any(block in self.manager.prefixes for block in before)

    @invariant()
    def every_table_reads_what_was_written_through_it(self) -> None:
        for text in self.texts:
            for position in range(len(text.tokens)):
                held = self.memory[text.table[position // BLOCK_SIZE], position % BLOCK_SIZE]
                assert held == text.content(position)

    @invariant()
    def a_block_is_found_only_for_what_it_holds(self) -> None:
        found = {digest: self.manager.prefixes.find([digest]) for digest in self.meanings}
        for digest, blocks in found.items():
            salt, tokens = self.meanings[digest]
            for block in blocks:
                held = [self.memory[block, offset] for offset in range(BLOCK_SIZE)]
                assert held == [(salt, tokens[: len(tokens) + 1 - left]) for left in range(BLOCK_SIZE, 0, -1)]
        assert sum(map(len, found.values())) == sum(block in self.manager.prefixes for block in range(NUM_BLOCKS))

    @invariant()
    def owners_and_free_blocks_add_up(self) -> None:
        owned = [block for text in self.texts for block in text.table]
        assert all(self.manager.num_owners(block) == owned.count(block) for block in range(NUM_BLOCKS))
        assert self.manager.num_free == NUM_BLOCKS - len(set(owned))

    def teardown(self) -> None:
        """Whatever happened, every block can be had again, once."""
        for text in self.texts:
            self.manager.release(text.table)
        table: list[int] = []
        self.manager.extend(table, 0, NUM_BLOCKS * BLOCK_SIZE)
        assert sorted(table) == list(range(NUM_BLOCKS))
        assert self.manager.num_free == 0
        assert not any(block in self.manager.prefixes for block in table)


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
