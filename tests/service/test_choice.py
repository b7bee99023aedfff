"""A choice's text, entries and count depend on the tokens alone, and obey the rules of stopping."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.outputs import FinishReason
from ensue.service.choice import Choice
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer

TEXTS = st.text(alphabet="ab é🙂\n", max_size=24)
STOPS = st.lists(st.text(alphabet="ab é🙂", min_size=1, max_size=4), max_size=3).map(tuple)
SIZES = st.lists(st.integers(1, 5), max_size=12)


@given(text=TEXTS, stops=STOPS, sizes=SIZES)
@settings(max_examples=150, deadline=None)
def test_bundling_changes_nothing(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any, text: str, stops: tuple[str, ...], sizes: list[int]
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    singly = assemble(make_outputs(ids, [1] * len(ids)), stop=stops)
    bundled = assemble(make_outputs(ids, sizes), stop=stops)
    assert bundled[:2] == singly[:2]
    assert bundled[3] == singly[3]
    assert (bundled[2].finish_reason, bundled[2].stop_reason) == (singly[2].finish_reason, singly[2].stop_reason)


@given(text=TEXTS, stops=STOPS, sizes=SIZES)
@settings(max_examples=150, deadline=None)
def test_no_stop_string_is_in_the_text_and_entries_cover_it(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any, text: str, stops: tuple[str, ...], sizes: list[int]
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    shown, entries, last, num_tokens = assemble(make_outputs(ids, sizes), stop=stops)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    assert (last.finish_reason == "stop") == any(stop in text for stop in stops)
    assert entries.text_offset == sorted(entries.text_offset)
    assert all(offset < max(1, len(shown)) for offset in entries.text_offset)
    assert len(entries.tokens) <= num_tokens <= len(ids)
    if last.finish_reason == "length":
        assert (shown, num_tokens, len(entries.tokens)) == (text, len(ids), len(ids))


def test_the_count_ends_with_the_token_that_completed_the_stop(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any
) -> None:
    ids = [tokenizer.encode(piece, add_special_tokens=False)[0] for piece in "abcab"]
    text, entries, last, num_tokens = assemble(make_outputs(ids), stop=("c",))
    assert (text, num_tokens, entries.tokens) == ("ab", 3, ["a", "b"])
    assert (last.finish_reason, last.stop_reason) == ("stop", "c")


def test_a_stop_string_completed_by_the_last_token_wins_over_length(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any
) -> None:
    ids = tokenizer.encode("abc", add_special_tokens=False)
    assert assemble(make_outputs(ids), stop=("c",))[2].finish_reason == "stop"


def test_a_token_of_which_a_character_survives_the_cut_stays(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any
) -> None:
    (token,) = tokenizer.encode(" the", add_special_tokens=False)
    text, entries, _, _ = assemble(make_outputs([token]), stop=("he",))
    assert (text, entries.tokens) == (" t", [" the"])


@pytest.mark.parametrize("size", [1, 9])
def test_an_end_token_is_counted_and_scored_but_not_shown(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any, size: int
) -> None:
    ids = [*tokenizer.encode("ab", add_special_tokens=False), 1]
    outputs = make_outputs(ids, [size] * 9, FinishReason.STOP)
    text, entries, last, num_tokens = assemble(outputs)
    assert (text, num_tokens) == ("ab", len(ids))
    assert (entries.tokens[-1], entries.text_offset[-1]) == ("<|end_of_text|>", 2)
    assert (last.finish_reason, last.stop_reason) == ("stop", None)


def test_a_held_back_prefix_is_shown_at_the_end(tokenizer: Tokenizer, make_outputs: Any, assemble: Any) -> None:
    ids = tokenizer.encode("ab", add_special_tokens=False)
    assert assemble(make_outputs(ids), stop=("bc",))[0] == "ab"


def test_half_a_character_at_the_end_becomes_a_replacement(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any
) -> None:
    first = tokenizer.encode("🙂", add_special_tokens=False)[0]
    text, entries, _, _ = assemble(make_outputs([first]))
    assert text == "\ufffd"
    assert entries.tokens[0].startswith("bytes:\\x")


def test_tokens_after_the_end_are_dropped(tokenizer: Tokenizer, make_outputs: Any) -> None:
    choice = Choice(0, EncodedPrompt((0,)), CompletionRequest("id", ("",), stop=("b",)), tokenizer, {})
    ids = tokenizer.encode("ab", add_special_tokens=False)
    first, late = make_outputs(ids)[0], make_outputs(ids, reason=FinishReason.ABORT)[0]
    assert choice.take(first) is not None
    assert choice.take(late) is None
    assert choice.num_tokens == len(ids)
