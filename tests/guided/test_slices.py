"""Slices: chosen by the regex, and without effect on its masks."""

from __future__ import annotations

import functools
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.slices import slices_for
from tests.guided.walk import allowed, backend, vocabulary

CHOSEN = [
    ("[a-z ]{10,400}", "[a-z ]"),
    ("x([a-z]{1,200} ?){5,20}", "[a-z]"),
    (r"[\-_ 0-9A-Za-z]{2,30}", "[a-zA-Z0-9 ]"),
    ("[0-9]{5,90}|[a-z ._]{5,90}", None),  # the first long count says it
    ("[a-z]{2,9}", None),
    ("[^a-z]{10,400}", None),
    ("[a-z ]+", None),
    ("[a-f ]{10,400}", None),
    (".{10,400}", None),
]


@pytest.mark.parametrize(("regex", "class_"), CHOSEN, ids=[regex for regex, _ in CHOSEN])
def test_slices_are_of_the_largest_common_class_within_the_first_long_count(regex: str, class_: str | None) -> None:
    assert slices_for(regex) == (class_ and (f"{class_}{{1,10}}", f"{class_}{{1,30}}"))


CLASSES = ["[a-z ]", "[a-z]", "[a-zA-Z]", "[A-Za-z ]", "[a-zA-Z0-9]", "[a-zA-Z0-9 .,]"]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(CLASSES), st.integers(0, 10), st.integers(10, 40), st.integers(0, 100))
def test_masks_within_a_count_are_what_the_count_says(class_: str, least: int, most: int, seed: int) -> None:
    noise, left = random.Random(seed), most
    matcher = backend().load(backend().compile(Constraint("regex", f"{class_}{{{least},{most}}}")))
    fitting = [i for i, token in enumerate(vocabulary().tokens) if re.fullmatch(f"{class_}+".encode(), token)]
    while left:
        ids = [i for i in fitting if len(vocabulary().tokens[i]) <= left]
        assert allowed(matcher) == [i for i in ids if i not in vocabulary().special_ids]
        matcher.accept(token_id := noise.choice(ids))
        left -= len(vocabulary().tokens[token_id])
    assert matcher.is_accepting
    assert not any(matcher.bitmask())


PARTS = ["[a-z]{1,12}", "[a-z ]{3,40}", " ?", "[A-Z]", r"[\w.-]{1,10}", "(é|x)*", "[0-9]{2}", "([a-zA-Z]{1,15},){2,20}"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4), st.integers(0, 100))
def test_masks_are_those_of_a_matcher_without_slices(parts: list[str], seed: int) -> None:
    noise, grammar = random.Random(seed), backend().compile(Constraint("regex", "".join(parts)))
    matcher = backend().load(grammar)
    plain = LLMatcher(tokenizer_without_slices(), grammar.payload.decode(), log_level=0)
    for _ in range(15):
        if not (ids := allowed(matcher)):
            return
        mask = plain.compute_bitmask()
        assert ids == [i for i in range(len(vocabulary().tokens)) if mask[i // 8] >> i % 8 & 1]
        matcher.accept(token_id := noise.choice(ids))
        assert plain.consume_token(token_id)


@functools.cache
def tokenizer_without_slices() -> LLTokenizer:
    library = backend()
    assert isinstance(library, LlguidanceBackend)
    return library._tokenizer.with_slices([])
