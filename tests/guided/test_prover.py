"""The prover: costs are bounded, kills are answered, equal questions share one answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ensue.errors import InvalidGrammar, Overloaded
from ensue.guided.constraint import Constraint
from ensue.guided.proof_cache import ProofCache
from ensue.guided.prover import ProofLimits, Prover
from ensue.guided.prover_process import NICENESS
from ensue.request import CompiledGrammar
from tests.guided.walk import backend, vocabulary

SIMPLE = Constraint("regex", "[a-z]+")
SLOW = Constraint(
    "grammar", "root ::= " + " | ".join(f'(("{c}"{{1,1000}}){{1,1000}}){{1,1000}}' for c in "abcdefghijkl")
)


@pytest.fixture
async def prover() -> AsyncIterator[Prover]:
    prover = Prover(vocabulary, ProofLimits(cpu_s=1))
    yield prover
    await prover.close()


async def test_a_proof_is_a_grammar_that_a_worker_can_load(prover: Prover) -> None:
    grammar = await prover.prove(SIMPLE)
    assert grammar.backend == "llguidance"
    assert any(backend().load(grammar).bitmask())


async def test_refusals_name_the_place(prover: Prover) -> None:
    schema = Constraint.of_schema({"properties": {"a": {"pattern": "(?=a)"}}})
    for _ in range(2):  # the second time from memory
        with pytest.raises(InvalidGrammar) as caught:
            await prover.prove(schema)
        assert caught.value.param == "properties.a.pattern"
    assert (prover.stats.num_misses, prover.stats.num_hits, prover.stats.num_refused) == (1, 1, 1)


async def test_equal_questions_in_flight_share_one_proof(prover: Prover) -> None:
    grammars = await asyncio.gather(*[prover.prove(SIMPLE) for _ in range(5)])
    assert len({grammar.digest for grammar in grammars}) == 1
    assert (prover.stats.num_misses, prover.stats.num_hits) == (1, 4)


async def test_an_asker_that_goes_away_does_not_take_the_answer_from_others(prover: Prover) -> None:
    first, second = (asyncio.create_task(prover.prove(SIMPLE)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).payload


async def test_a_constraint_that_takes_too_long_is_refused_and_the_next_one_is_proved(prover: Prover) -> None:
    with pytest.raises(InvalidGrammar, match="more than 1 seconds"):
        await prover.prove(SLOW)
    assert prover.stats.num_kills == 1
    assert await prover.prove(SIMPLE)
    with pytest.raises(InvalidGrammar):
        await prover.prove(SLOW)
    assert prover.stats.num_kills == 1  # remembered


async def test_a_prover_killed_from_outside_is_answered_with_503_and_replaced(prover: Prover) -> None:
    await prover.prove(SIMPLE)
    asked = asyncio.create_task(prover.prove(SLOW))
    await asyncio.sleep(0.1)
    os.kill(process_id(prover), signal.SIGKILL)
    with pytest.raises(Overloaded):
        await asked
    assert await prover.prove(Constraint("regex", "b"))


async def test_the_process_goes_last_whatever_the_kernel_divides_time_by(prover: Prover) -> None:
    await prover.prove(SIMPLE)
    pid = process_id(prover)
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    assert niceness_of_session(pid) in (NICENESS, None)


async def test_the_process_ends_with_its_asker(prover: Prover) -> None:
    await prover.prove(SIMPLE)
    process = prover._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_prover_that_cannot_be_started_is_answered_with_503(
    prover: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere")
        with pytest.raises(Overloaded):
            await prover.prove(SIMPLE)
    assert await prover.prove(SIMPLE)


async def test_questions_beyond_the_bound_are_turned_away() -> None:
    prover = Prover(vocabulary, ProofLimits(max_waiting=1))
    first = asyncio.create_task(prover.prove(SIMPLE))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await prover.prove(SLOW)
    assert await first
    await prover.close()


@pytest.mark.parametrize(
    ("constraint", "param"),
    [
        (Constraint("regex", "a" * 11), None),
        (Constraint("grammar", "root ::= " + '"a" ' * 8), None),
        (Constraint.of_schema({"enum": ["a" * 40]}), None),
        (Constraint.of_choices(("a" * 40,)), None),
        (Constraint("json_object", "", whitespace_pattern=" ?" * 6), "whitespace_pattern"),
    ],
)
async def test_what_is_longer_than_the_settings_allow_is_refused(constraint: Constraint, param: str | None) -> None:
    prover = Prover(vocabulary, ProofLimits(grammar_bytes=40, regex_bytes=10))
    with pytest.raises(InvalidGrammar, match=r"at most (40|10) are allowed") as caught:
        await prover.prove(constraint)
    assert caught.value.param == param
    assert prover.stats.num_misses == 0


async def test_what_is_nested_deeper_than_the_settings_allow_is_refused() -> None:
    prover = Prover(vocabulary, ProofLimits(nesting=3))
    await prover.prove(Constraint("regex", "(((a)))"))
    with pytest.raises(InvalidGrammar, match="nested 4 levels deep; at most 3 are allowed"):
        await prover.prove(Constraint("regex", "((((a))))"))
    await prover.close()


async def test_nobody_waits_behind_all_that_another_asked(prover: Prover) -> None:
    order: list[str] = []

    async def ask(owner: str, number: int) -> None:
        await prover.prove(Constraint("regex", f"{owner}{number}"), owner)
        order.append(owner)

    await asyncio.gather(*[ask("flood", i) for i in range(8)], ask("other", 0), ask("third", 0))
    assert order.index("other") <= 2
    assert order.index("third") <= 3


async def test_what_nobody_waits_for_is_not_proved(prover: Prover) -> None:
    asked = [asyncio.create_task(prover.prove(Constraint("regex", f"a{i}"))) for i in range(5)]
    await asyncio.sleep(0)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert await prover.prove(Constraint("regex", "a4"))  # asked for again while it is being forgotten
    await asyncio.sleep(0)
    assert prover._running == {}


async def test_a_flood_leaves_room_for_another() -> None:
    prover = Prover(vocabulary, ProofLimits(max_waiting=4))
    flood = [asyncio.create_task(prover.prove(Constraint("regex", f"a{i}"), "flood")) for i in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await prover.prove(SIMPLE, "flood")
    assert await prover.prove(SIMPLE, "other")
    await asyncio.gather(*flood)
    await prover.close()


def process_id(prover: Prover) -> int:
    assert prover._process is not None
    return prover._process.pid


def niceness_of_session(pid: int) -> int | None:
    """None where the kernel divides no time by sessions."""
    file = Path(f"/proc/{pid}/autogroup")
    words = file.read_text().split() if file.exists() else []
    return int(words[-1]) if words else None


def grammar_of(size: int) -> CompiledGrammar:
    return CompiledGrammar("llguidance", b"x" * size, b"")


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache = ProofCache(max_bytes=3 * 1500)
    for name in (b"1", b"2", b"3"):
        cache.put(name, grammar_of(1000))
    assert cache.get(b"1")
    cache.put(b"4", InvalidGrammar("no" * 500))
    assert cache.get(b"2") is None
    assert cache.get(b"1")
    assert cache.num_bytes <= 3 * 1500


def test_the_cache_does_not_keep_what_is_larger_than_itself() -> None:
    cache = ProofCache(max_bytes=1000)
    cache.put(b"1", grammar_of(1000))
    assert len(cache) == 0
