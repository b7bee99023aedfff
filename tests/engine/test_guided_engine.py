"""Guided requests through the step loop: whatever the model says, a text that stops satisfies its constraint."""

from __future__ import annotations

import re
import threading

import pytest

from ensue.engine.grammars import Grammars
from ensue.engine.guide import Guide
from ensue.engine.llm_engine import LLMEngine
from ensue.errors import GenerationFailed, InvalidGrammar
from ensue.guided.backend import PROVER, Matcher
from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.outputs import FinishReason, TokenOutput
from ensue.request import BeamParams, CompiledGrammar, GenerationRequest
from tests.engine.toy import END, STOP, VOCABULARY, make_engine, make_request, run_to_end

BACKEND = LlguidanceBackend(VOCABULARY, PROVER)
HANDLE = (1, 1)


def grammar_of(regex: str) -> CompiledGrammar:
    return BACKEND.compile(Constraint("regex", regex))


def matcher_of(regex: str) -> Matcher:
    return BACKEND.load(grammar_of(regex))


def text_of(output: TokenOutput) -> str:
    ids = output.token_ids
    has_end = output.finish_reason is FinishReason.STOP and not output.is_complete
    return b"".join(VOCABULARY.tokens[i] for i in (ids[:-1] if has_end else ids)).decode()


def run(regex: str, request: GenerationRequest, engine: LLMEngine | None = None) -> list[TokenOutput]:
    engine = engine or make_engine()
    engine.add(HANDLE, request, matcher_of(regex))
    outputs = run_to_end(engine)
    return [outputs[HANDLE, i] for i in range(request.num_samples)]


def guided(**more: object) -> GenerationRequest:
    return make_request((1, 2, 3), **{"max_tokens": 20, "end_token_ids": (END,), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("regex", ["[a-c]{2,5}", "(foo|bar)+", "x[0-9]*y?", "a?"])
def test_texts_that_stop_satisfy_the_constraint(regex: str) -> None:
    outputs = [output for seed in range(20) for output in run(regex, guided(seed=seed, num_samples=3))]
    stopped = [output for output in outputs if output.finish_reason is FinishReason.STOP]
    assert len(stopped) >= 20
    assert all(re.fullmatch(regex, text_of(output)) for output in stopped)
    assert all(output.stop_token_id is None for output in stopped)


def test_a_text_that_nothing_can_follow_is_complete_without_an_end_token() -> None:
    (output,) = run("abc", guided(end_token_ids=(), min_tokens=10))
    assert (text_of(output), output.is_complete, len(output.token_ids)) == ("abc", True, 3)
    assert output.finish_reason is FinishReason.STOP


def test_the_empty_text_is_complete_at_once() -> None:
    (output,) = run("", guided())
    assert (output.token_ids, output.is_complete, output.finish_reason) == ((), True, FinishReason.STOP)


def test_end_tokens_wait_for_min_tokens() -> None:
    outputs = [run("[ab]*", guided(seed=seed, min_tokens=6))[0] for seed in range(20)]
    assert all(len(output.token_ids) >= 6 for output in outputs)
    assert any(output.finish_reason is FinishReason.STOP for output in outputs)


def test_a_stop_token_ends_only_a_text_that_satisfies_the_constraint() -> None:
    letter = VOCABULARY.tokens.index(b"b")
    for seed in range(20):
        (output,) = run("abab|aba[cd]", guided(seed=seed, stop_token_ids=(letter, STOP)))
        assert text_of(output) in ("abab", "abac", "abad")  # b is text, here
    (output,) = run("ab*", guided(stop_token_ids=(letter,), end_token_ids=()))
    assert (text_of(output), output.stop_token_id) == ("a", letter)


def test_a_special_stop_token_may_end_the_text() -> None:
    outputs = [run("[ab]+", guided(seed=seed, stop_token_ids=(STOP,), end_token_ids=()))[0] for seed in range(10)]
    assert {output.stop_token_id for output in outputs} == {STOP}
    assert all(re.fullmatch("[ab]+", text_of(output)) for output in outputs)


def test_length_cuts_a_text() -> None:
    (output,) = run("a{50}", guided())
    assert (output.finish_reason, text_of(output)) == (FinishReason.LENGTH, "a" * 20)


def test_masks_that_leave_no_token_end_the_text() -> None:
    (output,) = run("aé", guided())
    assert (output.finish_reason, output.error_code) == (FinishReason.LENGTH, "no_token_left")


def test_samples_that_lose_their_blocks_go_on_where_they_were() -> None:
    request = guided(num_samples=4, max_tokens=24, end_token_ids=())
    roomy, tight = run("[a-z]{20}", request), run("[a-z]{20}", request, make_engine(num_blocks=9))
    assert [o.token_ids for o in tight] == [o.token_ids for o in roomy]
    assert sum(o.timings.num_preemptions for o in tight if o.timings) > 0


def test_a_text_goes_on_after_tokens_from_elsewhere() -> None:
    ids = tuple(VOCABULARY.tokens.index(c) for c in (b"a", b"b"))
    (output,) = run("abcd", guided(resumed_token_ids=ids))
    assert text_of(output) == "cd"


class Failing:
    """A matcher that gives up after some tokens."""

    def __init__(self, matcher: Matcher, num_left: int) -> None:
        self._matcher, self._num_left = matcher, num_left

    def bitmask(self) -> bytes:
        return self._matcher.bitmask()

    def accept(self, token_id: int) -> None:
        self._num_left -= 1
        if self._num_left < 0:
            raise GenerationFailed("too complex")
        self._matcher.accept(token_id)

    @property
    def is_accepting(self) -> bool:
        return self._matcher.is_accepting

    def fork(self) -> Failing:
        return Failing(self._matcher.fork(), self._num_left)


def test_a_matcher_that_fails_ends_its_own_text_only() -> None:
    engine = make_engine()
    engine.add(HANDLE, guided(), Failing(matcher_of("[ab]{9}"), 3))
    engine.add((1, 2), guided(), matcher_of("[ab]{9}"))
    outputs = run_to_end(engine)
    assert (outputs[HANDLE, 0].finish_reason, outputs[HANDLE, 0].error_code) == (FinishReason.ERROR, "grammar_failed")
    assert outputs[(1, 2), 0].finish_reason is FinishReason.STOP


def test_a_guide_allows_ends_where_they_may_stand() -> None:
    guide = Guide(matcher_of("ab?"), (END,), (200,))
    assert not has(guide, END)
    guide.accept(VOCABULARY.tokens.index(b"a"))
    assert has(guide, END)
    assert has(guide, 200)  # beyond the vocabulary
    fork = guide.fork()
    fork.accept(VOCABULARY.tokens.index(b"b"))
    assert (fork.is_complete, guide.is_complete) == (True, False)


def has(guide: Guide, token_id: int) -> bool:
    return bool(int.from_bytes(guide.mask, "little") >> token_id & 1)


def load(grammars: Grammars, grammar: CompiledGrammar) -> object:
    done, results = threading.Event(), []

    def take(loaded: object) -> None:
        results.append(loaded)
        done.set()

    grammars.load(grammar, take)
    assert done.wait(10)
    return results[0]


def test_grammars_are_loaded_once() -> None:
    grammars = Grammars(lambda: VOCABULARY)
    grammar = grammar_of("[ab]+")
    assert grammars.get(grammar) is None
    load(grammars, grammar)
    first, second = grammars.get(grammar), grammars.get(grammar)
    assert first is not None
    assert second is not None
    first.accept(VOCABULARY.tokens.index(b"a"))
    assert (first.is_accepting, second.is_accepting) == (True, False)


def test_a_grammar_that_cannot_be_loaded_is_refused_and_the_next_one_is_loaded() -> None:
    grammars = Grammars(lambda: VOCABULARY)
    assert isinstance(load(grammars, CompiledGrammar("llguidance", b"start: (", b"1")), InvalidGrammar)
    assert not isinstance(load(grammars, grammar_of("a")), Exception)


@pytest.mark.parametrize("regex", ["[a-c]{2,5}", "(foo|bar)+", "x[0-9]*y?"])
@pytest.mark.parametrize("width", [2, 4])
def test_beams_that_stop_satisfy_the_constraint(regex: str, width: int) -> None:
    for seed in range(5):
        request = guided(seed=seed, num_samples=width, beam=BeamParams(width), max_tokens=12)
        stopped = [o for o in run(regex, request) if o.finish_reason is FinishReason.STOP]
        assert stopped
        assert all(re.fullmatch(regex, text_of(output)) for output in stopped)


def test_beams_end_where_nothing_can_follow() -> None:
    first, second, third = run("ab|cde", guided(num_samples=3, beam=BeamParams(3), end_token_ids=(), min_tokens=9))
    assert {text_of(first), text_of(second)} == {"ab", "cde"}
    assert first.is_complete
    assert second.is_complete
    assert (third.finish_reason, third.error_code) == (FinishReason.LENGTH, "no_token_left")  # there is no third text


def test_the_empty_text_is_the_only_beam() -> None:
    first, second = run("", guided(num_samples=2, beam=BeamParams(2)))
    assert (first.token_ids, first.is_complete, second.finish_reason) == ((), True, FinishReason.LENGTH)


def test_a_matcher_that_fails_ends_its_beams_only() -> None:
    engine = make_engine()
    engine.add(HANDLE, guided(num_samples=2, beam=BeamParams(2)), Failing(matcher_of("[ab]{9}"), 3))
    engine.add((1, 2), guided(), matcher_of("[ab]{9}"))
    outputs = run_to_end(engine)
    assert {outputs[HANDLE, rank].error_code for rank in range(2)} == {"grammar_failed"}
    assert outputs[(1, 2), 0].finish_reason is FinishReason.STOP
