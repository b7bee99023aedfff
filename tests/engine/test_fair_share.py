"""A flood by one key costs another one steps that can be counted, and nobody a token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.engine.fair_share import divide
from ensue.engine.llm_engine import LLMEngine
from ensue.engine.sequence import Handle
from ensue.guided.backend import PROVER
from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.outputs import TokenOutput
from ensue.request import BeamParams, GenerationRequest
from tests.engine.toy import VOCABULARY, collect, expected, make_engine, make_request, run_to_end, whole_of

KEYS = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(0, 50), st.sampled_from([0.5, 1.0, 3.0])), min_size=1
)


@given(total=st.integers(0, 120), keys=KEYS)
def test_shares_use_all_that_is_wanted_and_no_more(total: int, keys: dict[str, tuple[int, float]]) -> None:
    demands = {key: demand for key, (demand, _) in keys.items()}
    shares = divide(total, demands, {key: weight for key, (_, weight) in keys.items()})
    assert sum(shares.values()) == min(total, sum(demands.values()))
    assert all(0 <= shares[key] <= demands[key] for key in keys)


@given(total=st.integers(0, 120), keys=KEYS)
def test_each_that_asks_moves_where_there_are_units_enough(total: int, keys: dict[str, tuple[int, float]]) -> None:
    demands = {key: demand for key, (demand, _) in keys.items()}
    shares = divide(total, demands, {key: weight for key, (_, weight) in keys.items()})
    assert total < len(keys) or all(shares[key] for key in keys if demands[key])


@given(total=st.integers(0, 120), keys=KEYS)
def test_who_gets_less_than_asked_for_has_no_less_than_any_other(
    total: int, keys: dict[str, tuple[int, float]]
) -> None:
    weights = {key: weight for key, (_, weight) in keys.items()}
    shares = divide(total, {key: demand for key, (demand, _) in keys.items()}, weights)
    for poor in (key for key, (demand, _) in keys.items() if shares[key] < demand):
        for rich in keys:
            unit = len(keys) / min(weights[poor], weights[rich])  # each key's share is rounded
            assert shares[rich] / weights[rich] <= shares[poor] / weights[poor] + unit


def request_of(key: str, number: int, num_tokens: int, *, weight: float = 1.0, priority: int = 0) -> GenerationRequest:
    prompt = [(number * 7 + i) % 90 for i in range(num_tokens)]
    return make_request(
        prompt, max_tokens=12, seed=number, fair_share_key=key, fair_share_weight=weight, priority=priority
    )


def flooded(engine: LLMEngine, num_requests: int, num_tokens: int, num_steps: int) -> None:
    """One key asks for much more than there is, and has been served for a while."""
    for number in range(num_requests):
        engine.add((0, number), request_of("flood", number, num_tokens))
    for _ in range(num_steps):
        engine.step()


def steps_to_first_token(engine: LLMEngine, request: GenerationRequest) -> int:
    engine.add((1, 0), request)
    for step in range(1, 200):
        if any(handle == (1, 0) and output.token_ids for handle, output in engine.step()):
            return step
    raise AssertionError("never served")


@pytest.mark.parametrize("num_tokens", [3, 8, 20, 40])
@pytest.mark.parametrize("num_steps", [0, 1, 7, 30])
def test_flood_costs_one_step_and_the_own_prefill_while_there_is_room(num_tokens: int, num_steps: int) -> None:
    alone = steps_to_first_token(make_engine(400, max_num_seqs=32, budget=40), request_of("other", 99, num_tokens))
    engine = make_engine(400, max_num_seqs=32, budget=40)
    flooded(engine, 30, 40, num_steps)  # 30 of 32 slots
    assert steps_to_first_token(engine, request_of("other", 99, num_tokens)) <= alone + 1 + alone


@pytest.mark.parametrize("max_num_seqs", [2, 3, 8])
def test_without_a_slot_one_preemption_makes_way(max_num_seqs: int) -> None:
    engine = make_engine(200, max_num_seqs=max_num_seqs, budget=24)
    flooded(engine, 40, 6, 5)
    before = engine.stats().num_preemptions
    assert engine.stats().num_running == max_num_seqs
    assert steps_to_first_token(engine, request_of("other", 99, 6)) <= 3
    assert engine.stats().num_preemptions == before + 1


def test_without_blocks_the_largest_holder_makes_way() -> None:
    engine = make_engine(20, max_num_seqs=16, budget=40)
    flooded(engine, 12, 12, 4)
    assert steps_to_first_token(engine, request_of("other", 99, 8)) <= 4


MakeRequest = Callable[[str, int, int], GenerationRequest]


def sampled_request(key: str, number: int, num_tokens: int) -> GenerationRequest:
    return replace(request_of(key, number, num_tokens), num_samples=4)


def beam_request(key: str, number: int, num_tokens: int) -> GenerationRequest:
    return replace(request_of(key, number, num_tokens), num_samples=4, beam=BeamParams(4, 1.0, False))


def wide_request(key: str, number: int, num_tokens: int) -> GenerationRequest:
    return replace(request_of(key, number, num_tokens), num_samples=2, beam=BeamParams(16, 1.0, "never"))


def long_request(key: str, number: int, num_tokens: int) -> GenerationRequest:
    return request_of(key, number, max(26, num_tokens))


def scored_request(key: str, number: int, num_tokens: int) -> GenerationRequest:
    return replace(long_request(key, number, num_tokens), num_prompt_logprobs=2, num_logprobs=2)


def shared_request(key: str, number: int, num_tokens: int) -> GenerationRequest:
    return replace(request_of(key, number, 0), prompt_token_ids=tuple(range(max(22, num_tokens))))


FLOODS = {
    "plain": (request_of, 40),
    "samples": (sampled_request, 10),
    "beams": (beam_request, 10),
    "wide beams": (wide_request, 4),
    "long": (long_request, 20),
    "scored": (scored_request, 20),
    "shared": (shared_request, 20),
}


def under_flood(flood: str, keys: str, num_tokens: int, num_steps: int, **more: Any) -> LLMEngine:
    """An engine that one key or several in turn ask for more than a step can do."""
    make, num_requests = FLOODS[flood]
    engine = make_engine(more.pop("num_blocks"), **more)
    for number in range(num_requests):
        engine.add((0, number), make(keys[number % len(keys)], number, num_tokens))
    for _ in range(num_steps):
        engine.step()
    return engine


@pytest.mark.parametrize("make", [request_of, sampled_request], ids=["plain", "samples"])
@pytest.mark.parametrize("num_steps", [0, 1, 7, 20])
@pytest.mark.parametrize("keys", ["a", "abc"], ids=["one", "several"])
@pytest.mark.parametrize("flood", [flood for flood in FLOODS if flood != "wide beams"])  # which fill all slots
def test_any_flood_by_any_number_of_keys_costs_one_step_while_there_is_room(
    flood: str, keys: str, num_steps: int, make: MakeRequest
) -> None:
    engine = under_flood(flood, keys, 40, num_steps, num_blocks=600, max_num_seqs=64, budget=96)
    before = engine.stats().num_preemptions
    assert steps_to_first_token(engine, make("other", 99, 20)) <= 2  # of its own, it takes one
    assert engine.stats().num_preemptions == before


@pytest.mark.parametrize("num_steps", [0, 1, 7, 20])
@pytest.mark.parametrize("flood", FLOODS)
def test_any_flood_gives_way_with_one_sequence_where_no_slot_is_free(flood: str, num_steps: int) -> None:
    engine = under_flood(flood, "a", 8, num_steps, num_blocks=400, max_num_seqs=6, budget=40)
    before = engine.stats().num_preemptions
    assert steps_to_first_token(engine, request_of("other", 99, 8)) <= 2
    assert engine.stats().num_preemptions <= before + 1


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize(("num_blocks", "max_num_seqs"), [(12, 1), (12, 4), (16, 32), (24, 2), (40, 32), (60, 1)])
def test_no_flood_holds_a_small_cache_or_the_only_slots(flood: str, num_blocks: int, max_num_seqs: int) -> None:
    """However much its requests compute together: one step in which others give way, and the first token."""
    for num_steps in range(0, 60, 7):
        engine = under_flood(
            flood, "a", 8, num_steps, num_blocks=num_blocks, max_num_seqs=max_num_seqs, budget=48, max_model_len=48
        )
        assert steps_to_first_token(engine, request_of("other", 99, 8)) <= 2


@pytest.mark.parametrize("make", [long_request, scored_request])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_prompt_that_takes_most_of_the_cache_is_computed_at_once(flood: str, make: MakeRequest) -> None:
    """Its blocks are its own until the first token: it neither gives way while it is computed, nor waits for chunks."""
    for num_steps in range(0, 60, 11):
        engine = under_flood(flood, "a", 8, num_steps, num_blocks=12, max_num_seqs=4, budget=16, max_model_len=48)
        assert steps_to_first_token(engine, make("other", 99, 8)) <= 2 + 26 // 8


@pytest.mark.parametrize("num_steps", [0, 3, 11, 30])
@pytest.mark.parametrize("max_num_seqs", [1, 3])
def test_three_floods_of_different_kinds_cost_no_more(max_num_seqs: int, num_steps: int) -> None:
    engine = make_engine(16, max_num_seqs=max_num_seqs, budget=48, max_model_len=48)
    for number in range(24):
        make = (request_of, beam_request, sampled_request)[number % 3]
        engine.add((0, number), make("abc"[number % 3], number, 8))
    for _ in range(num_steps):
        engine.step()
    assert steps_to_first_token(engine, request_of("other", 99, 8)) <= 3


def test_what_generates_leaves_the_share_of_a_step_to_a_prompt() -> None:
    """With as many slots as tokens in a step, one of them would be left."""
    engine = make_engine(400, max_num_seqs=16, budget=16)
    flooded(engine, 15, 4, 8)
    assert engine.stats().num_running == 15
    assert steps_to_first_token(engine, request_of("other", 99, 32)) <= 1 + 32 // 8


@pytest.mark.parametrize("flood", ["plain", "samples", "beams"])
@pytest.mark.parametrize(("num_blocks", "max_num_seqs"), [(12, 1), (16, 16), (40, 4)])
def test_a_search_beside_a_flood_ends_as_alone_in_a_few_times_the_steps(
    flood: str, num_blocks: int, max_num_seqs: int
) -> None:
    room: dict[str, Any] = {"max_num_seqs": max_num_seqs, "budget": 48, "max_model_len": 48}
    request = beam_request("other", 99, 8)
    engine = make_engine(num_blocks, **room)
    num_alone, alone = whole(engine, request)
    engine = under_flood(flood, "a", 8, 5, num_blocks=num_blocks, **room)
    num_steps, outputs = whole(engine, request)
    assert outputs == alone
    assert num_steps <= 5 * num_alone


def whole(engine: LLMEngine, request: GenerationRequest) -> tuple[int, dict[int, tuple[int, ...]]]:
    """In how many steps a request ends, and what its samples say."""
    engine.add((1, 0), request)
    outputs = dict[int, tuple[int, ...]]()
    for step in range(1, 1000):
        outputs |= {o.sample_index: o.token_ids for handle, o in engine.step() if handle == (1, 0) and o.finish_reason}
        if len(outputs) == request.num_samples:
            return step, outputs
    raise AssertionError("never ended")


@pytest.mark.parametrize("make", [request_of, beam_request])
def test_who_was_pushed_out_comes_on_however_many_others_ask_once(make: MakeRequest) -> None:
    """A key of its own for each of them, and one slot: each may ask for it, but not before a token more was made."""
    engine = make_engine(40, max_num_seqs=1, budget=48)
    for number in range(3):
        engine.add((0, number), make("flood", number, 8))
    ended = set[Handle]()
    for step in range(4000):
        if step % 6 == 0:
            engine.add((2, step), replace(request_of(f"other {step}", step, 8), max_tokens=4))
        ended |= {handle for handle, output in engine.step() if output.finish_reason}
        if (0, 0) in ended:
            return
    raise AssertionError("starved")


@pytest.mark.parametrize("max_num_seqs", [1, 4, 16])
def test_floods_against_one_another_cost_fewer_preemptions_than_tokens(max_num_seqs: int) -> None:
    engine = make_engine(12, max_num_seqs=max_num_seqs, budget=24, max_model_len=48)
    requests = {(0, number): list(FLOODS.values())[number % 3][0]("abc"[number % 3], number, 8) for number in range(18)}
    for handle, request in requests.items():
        engine.add(handle, request)
    outputs = run_to_end(engine, 5000)
    for handle, request in requests.items():
        assert [outputs[handle, i].token_ids for i in range(request.num_samples)] == [
            whole_of(request, i) for i in range(request.num_samples)
        ]
    assert engine.stats().num_preemptions < engine.stats().num_generation_tokens


@pytest.mark.parametrize("other", [-1, 0])
def test_the_less_urgent_flood_gives_way(other: int) -> None:
    engine = make_engine(200, max_num_seqs=4, budget=24)
    for number in range(12):
        engine.add((0, number), request_of("flood", number, 6, priority=5))
    for _ in range(4):
        engine.step()
    assert steps_to_first_token(engine, request_of("other", 99, 6, priority=other)) <= 2
    assert engine.stats().num_preemptions == 1


def test_a_constrained_flood_costs_one_step() -> None:
    backend = LlguidanceBackend(VOCABULARY, PROVER)
    matcher = backend.load(backend.compile(Constraint("regex", "[a-z]{9,30}")))
    engine = make_engine(400, max_num_seqs=32, budget=64)
    for number in range(16):
        engine.add((0, number), request_of("flood", number, 20), matcher)
    for _ in range(5):
        engine.step()
    assert steps_to_first_token(engine, request_of("other", 99, 20)) <= 2


def test_key_within_its_share_is_not_preempted() -> None:
    """Two keys with half of the slots each: a third request of one waits."""
    engine = make_engine(200, max_num_seqs=2, budget=24)
    for number, key in enumerate(("a", "b", "a", "b")):
        engine.add((0, number), request_of(key, number, 6))
    for _ in range(6):
        engine.step()
    assert engine.stats().num_preemptions == 0


def test_weights_divide_the_slots() -> None:
    engine = make_engine(400, max_num_seqs=8, budget=64)
    for number in range(40):
        engine.add((0, number), request_of("light", number, 4))
    for number in range(40, 80):
        engine.add((0, number), request_of("heavy", number, 4, weight=3.0))
    engine.step()
    keys = [sequence.request.fair_share_key for sequence in engine._scheduler.running]
    assert (keys.count("heavy"), keys.count("light")) == (6, 2)


def test_more_urgent_sequences_do_not_give_way() -> None:
    engine = make_engine(200, max_num_seqs=2, budget=24)
    for number in range(4):
        engine.add((0, number), request_of("flood", number, 6, priority=-1))
    engine.step()
    engine.add((1, 0), request_of("other", 99, 6))
    engine.step()
    assert engine.stats().num_preemptions == 0


def test_preempted_requests_keep_their_tokens() -> None:
    engine, merged = make_engine(24, max_num_seqs=3, budget=10), dict[tuple[Handle, int], TokenOutput]()
    requests = {(0, number): request_of("aab"[number // 8], number, 5 + number % 9) for number in range(24)}
    for handle, request in requests.items():
        engine.add(handle, request)
        collect(engine, merged)
    for key, output in run_to_end(engine).items():
        merged[key] = merged[key].merge(output) if key in merged else output
    assert engine.stats().num_preemptions > 0
    assert {handle: merged[handle, 0].token_ids for handle in requests} == {
        handle: expected(request, 0) for handle, request in requests.items()
    }


def test_who_gives_way_does_not_come_back_before_the_one_it_gave_way_to() -> None:
    """Each step would preempt it and start it again, for ever."""
    engine = make_engine(200, max_num_seqs=2, budget=4)
    engine.add((0, 0), request_of("urgent", 0, 40, priority=-1, weight=0.1))
    engine.add((0, 1), request_of("older", 1, 4))
    while engine.stats().num_running < 2:
        engine.step()
    engine.add((0, 2), request_of("heavy", 2, 4, weight=2.5))
    run_to_end(engine)
    assert engine.stats().num_preemptions <= 1


def test_the_first_goes_on_where_the_shares_of_others_cannot_be_used() -> None:
    engine = make_engine(12, max_num_seqs=2, budget=2)
    engine.add((0, 0), request_of("urgent", 0, 30, priority=-1, weight=0.1))
    engine.step()
    for number, key in enumerate(("a", "b"), 1):  # of the twelve blocks there are too few for them
        engine.add((0, number), request_of(key, number, 20))
    assert len(run_to_end(engine, max_steps=200)) == 3
