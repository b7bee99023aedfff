"""The matcher of the built-in backend."""

from __future__ import annotations

import pytest

from ensue.errors import GenerationFailed
from ensue.guided.backend import PROVER, Matcher
from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend, _Form, _source_of, sentence
from ensue.guided.vocabulary import Vocabulary
from tests.guided.walk import accepts, allowed, backend, vocabulary

TOKENS = Vocabulary((b"a", b"b", b"ab", b"<s>", b"", b"abc", b"c"), frozenset({3}))


def matcher_of(regex: str, tokens: Vocabulary = TOKENS) -> Matcher:
    library = LlguidanceBackend(tokens, PROVER)
    return library.load(library.compile(Constraint("regex", regex)))


def test_masks_hold_the_tokens_that_may_come_next() -> None:
    matcher = matcher_of("abc?")
    assert allowed(matcher) == [0, 2, 5]
    matcher.accept(2)
    assert matcher.is_accepting
    assert allowed(matcher) == [6]
    matcher.accept(6)
    assert matcher.is_accepting
    assert allowed(matcher) == []


def test_special_tokens_and_ids_without_a_token_are_never_allowed() -> None:
    assert allowed(matcher_of("(?s:.*)")) == [0, 1, 2, 5, 6]
    assert (
        not set(allowed(backend().load(backend().compile(Constraint("regex", "(?s:.*)"))))) & vocabulary().special_ids
    )


@pytest.mark.parametrize("num_tokens", [7, 8, 9, 16])
def test_masks_are_as_long_as_the_vocabulary(num_tokens: int) -> None:
    tokens = Vocabulary(tuple(bytes([97 + i]) for i in range(num_tokens)))
    matcher = matcher_of("[a-z]*", tokens)
    assert len(matcher.bitmask()) == tokens.num_bitmask_bytes
    assert allowed(matcher) == list(range(num_tokens))


def test_forks_go_their_own_ways() -> None:
    matcher = matcher_of("a|bb")
    fork = matcher.fork()
    fork.accept(1)
    assert (allowed(matcher), allowed(fork)) == ([0, 1], [1])


def test_no_token_is_allowed_where_none_fits() -> None:
    matcher = matcher_of("ad?x")
    assert allowed(matcher) == [0]
    matcher.accept(0)
    assert allowed(matcher) == []
    assert not matcher.is_accepting


def test_a_token_outside_the_mask_fails_the_text_alone() -> None:
    matcher = matcher_of("abc")
    fork = matcher.fork()
    with pytest.raises(GenerationFailed):
        fork.accept(6)
    assert not fork.is_accepting
    assert allowed(matcher) == [0, 2, 5]


def test_characters_may_be_split_between_tokens() -> None:
    tokens = Vocabulary((b"\xc3", b"\xa9", b"\xa8", b"\xc3\xa9"))
    matcher = matcher_of("é", tokens)
    assert allowed(matcher) == [0, 3]
    matcher.accept(0)
    assert allowed(matcher) == [1]


def test_a_flaw_in_the_library_is_told_as_a_constraint_that_is_too_complex() -> None:
    told = sentence("panic: assertion failed: grammar.symbols.len() < u16::MAX as usize - 10")
    assert told == "The constraint is too complex for the library that makes its masks."


def test_what_was_compiled_can_be_loaded_again_and_again() -> None:
    library = LlguidanceBackend(TOKENS, PROVER)
    grammar = library.compile(Constraint("regex", "ab?"))
    first, second = library.load(grammar), library.load(grammar)
    first.accept(0)
    assert (allowed(first), allowed(second)) == ([1], [0, 2])


def test_a_schema_that_grows_many_fold_is_taken_with_fewer_alternatives() -> None:
    names = "abcdefghijklmnopqrstuvwx"
    all_but_one = {"type": "object", "properties": dict.fromkeys(names, True), "maxProperties": len(names) - 1}
    constraint = Constraint.of_schema({"type": "object", "properties": dict.fromkeys(names, all_but_one)})
    grammar = backend().compile(constraint)
    assert len(constraint.text) < len(grammar.payload) < len(_source_of(constraint, _Form())) / 2
    assert backend().compile(constraint) == grammar
    assert accepts(constraint, '{"a":{"b":1}}')
