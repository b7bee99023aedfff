"""Blocks found again by what they hold: what hits, what never does, what is evicted first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ensue.engine.block_manager import BlockManager
from ensue.engine.llm_engine import LLMEngine
from ensue.engine.prefix_cache import PrefixCache
from ensue.outputs import PROMPT, FinishReason, TokenOutput
from ensue.request import GenerationRequest
from tests.engine.toy import BLOCK_SIZE, ToyRunner, expected, make_engine, make_request, run_to_end

PROMPT_IDS = tuple(range(10))  # two blocks of 4, and 2 more


def run(engine: LLMEngine, asked: GenerationRequest, number: int = 1) -> TokenOutput:
    """The first sample's merged output, which must have the toy model's tokens."""
    engine.add((0, number), asked)
    output = run_to_end(engine)[(0, number), 0]
    assert output.token_ids == expected(asked, 0)
    return output


def test_a_second_prompt_goes_on_behind_the_blocks_of_the_first() -> None:
    engine = make_engine()
    assert run(engine, make_request(PROMPT_IDS)).num_cached_tokens == 0
    computed = engine.stats().num_prompt_tokens
    assert run(engine, make_request(PROMPT_IDS, seed=5)).num_cached_tokens == 8
    assert engine.stats().num_prompt_tokens - computed == 2


@pytest.mark.parametrize(("length", "cached"), [(3, 0), (4, 0), (5, 4), (8, 4), (9, 8)])
def test_a_hit_leaves_the_last_position_to_compute(length: int, cached: int) -> None:
    engine = make_engine()
    asked = make_request(range(length))
    run(engine, asked)
    assert run(engine, asked).num_cached_tokens == cached


def test_a_prompt_that_begins_alike_hits_up_to_where_it_differs() -> None:
    engine = make_engine()
    run(engine, make_request(PROMPT_IDS))
    assert run(engine, make_request((*range(7), 50, 51, 52))).num_cached_tokens == 4


def test_what_was_generated_is_found_by_the_next_turn() -> None:
    engine = make_engine()
    first = run(engine, make_request(PROMPT_IDS, max_tokens=9))
    turn = (*PROMPT_IDS, *first.token_ids, 1, 2, 3)  # of the 19 tokens, all but the last were computed
    assert run(engine, make_request(turn)).num_cached_tokens == 16


def test_other_salts_never_share() -> None:
    engine = make_engine()
    asked = make_request(PROMPT_IDS, cache_salt=b"a")
    run(engine, asked)
    assert run(engine, replace(asked, cache_salt=b"b")).num_cached_tokens == 0
    assert run(engine, make_request(PROMPT_IDS)).num_cached_tokens == 0
    assert run(engine, asked).num_cached_tokens == 8


def test_a_prompt_to_be_scored_is_computed_from_its_start() -> None:
    engine = make_engine()
    run(engine, make_request(PROMPT_IDS))
    engine.add((0, 2), make_request(PROMPT_IDS, num_prompt_logprobs=0))
    outputs = run_to_end(engine)
    assert outputs[(0, 2), 0].num_cached_tokens == 0
    assert outputs[(0, 2), PROMPT].token_ids == PROMPT_IDS[1:]


def test_cached_tokens_are_told_once_whatever_becomes_of_the_blocks() -> None:
    engine = make_engine(12)
    asked = make_request(PROMPT_IDS, max_tokens=20)
    run(engine, replace(asked, max_tokens=1))
    for number in range(2, 5):
        engine.add((0, number), replace(asked, seed=number))
    told = []
    while engine.has_work:
        told += [o.num_cached_tokens for _, o in engine.step() if o.num_cached_tokens is not None]
    assert engine.stats().num_preemptions > 0
    assert told == [8, 8, 8]


def test_cached_tokens_are_those_found_at_first_though_a_prompt_finds_its_own_blocks_later() -> None:
    """The second prompt is pushed out half computed, before its first token."""
    engine = make_engine(6, max_num_seqs=2, budget=2, max_model_len=24)
    engine.add((0, 1), make_request(range(50, 54), max_tokens=16))
    engine.add((0, 2), make_request(range(16), max_tokens=1))
    outputs = run_to_end(engine)
    assert engine.stats().num_preemptions > 0
    assert engine.stats().num_prompt_tokens == 4 + 4 + 12  # four positions, then all but the block that is left
    assert outputs[(0, 2), 0].num_cached_tokens == 0


def test_cached_tokens_are_of_the_prompt_where_a_resumed_text_is_found_whole() -> None:
    engine = make_engine()
    asked = make_request(range(6), max_tokens=14)
    first = run(engine, asked)
    engine.add((0, 2), replace(asked, resumed_token_ids=first.token_ids[:10]))
    output = run_to_end(engine)[(0, 2), 0]
    assert output.token_ids == first.token_ids[10:]
    assert output.num_cached_tokens == 6


def test_without_the_cache_nothing_is_found() -> None:
    engine = make_engine(has_prefix_cache=False)
    run(engine, make_request(PROMPT_IDS))
    assert run(engine, make_request(PROMPT_IDS)).num_cached_tokens == 0


def test_blocks_that_may_hold_bad_numbers_are_never_found() -> None:
    runner = ToyRunner(32)
    engine = make_engine(runner=runner)
    runner.poisoned.add(((0, 1), 0))
    engine.add((0, 1), make_request(PROMPT_IDS))
    assert run_to_end(engine)[(0, 1), 0].finish_reason is FinishReason.ERROR
    assert run(engine, make_request(PROMPT_IDS), 2).num_cached_tokens == 0


def test_cached_blocks_that_nobody_owns_count_as_free() -> None:
    engine = make_engine()
    run(engine, make_request(PROMPT_IDS))
    assert engine.stats().num_used_blocks == 0


def test_the_least_recently_used_prompt_goes_first() -> None:
    engine = make_engine(6)  # two prompts leave two blocks, the third needs three
    first, second, third = (make_request(range(start, start + 9), max_tokens=1) for start in (0, 20, 40))
    for asked in (first, second, first, third):
        run(engine, asked)
    assert run(engine, first).num_cached_tokens == 8
    assert run(engine, second).num_cached_tokens == 4


def test_the_end_of_a_prompt_is_evicted_before_its_beginning() -> None:
    engine = make_engine(6)
    run(engine, make_request(range(17), max_tokens=1))
    run(engine, make_request(range(50, 63), max_tokens=1))  # takes two free blocks and two of the first prompt's
    assert run(engine, make_request(range(17), max_tokens=1)).num_cached_tokens == 8


def test_hashes_cannot_be_known_from_outside() -> None:
    one, other = PrefixCache(BLOCK_SIZE), PrefixCache(BLOCK_SIZE)
    assert one.chain(PROMPT_IDS, b"", 2) == one.chain(PROMPT_IDS, b"", 2)
    assert one.chain(PROMPT_IDS, b"", 2) != other.chain(PROMPT_IDS, b"", 2)


def test_a_block_that_is_written_to_is_found_no_more() -> None:
    prefixes = PrefixCache(BLOCK_SIZE)
    blocks = BlockManager(4, BLOCK_SIZE, prefixes)
    table: list[int] = []
    blocks.extend(table, 0, 8)
    hashes = prefixes.chain(PROMPT_IDS, b"", 2)
    for block, digest in zip(table, hashes, strict=True):
        prefixes.add(block, digest)
    blocks.extend(table, 6, 8)
    assert prefixes.find(hashes) == table[:1]
