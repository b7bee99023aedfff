"""Where a choice ends, and what is shown of it, against the rules looked at in the whole text after each token."""

from __future__ import annotations

import codecs
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.outputs import FinishReason
from ensue.text.tokenizer import Tokenizer

IM_END = 4  # in the bundled tokenizer
STOPS = st.lists(st.text(alphabet="ab é🙂<|\ufffd", min_size=1, max_size=4), max_size=3).map(tuple)
SIZES = st.lists(st.integers(1, 5), max_size=12)
PIECES = st.lists(st.sampled_from(["a", "b", "ab", " ", "é", "🙂", "<|", "<|im_end|>", "\ufffd"]), max_size=10)


class Expected(NamedTuple):
    text: str
    num_tokens: int
    stop: str | None


def expected(
    tokenizer: Tokenizer, ids: list[int], *, stops: tuple[str, ...], keeps: bool, min_tokens: int, skips: bool
) -> Expected:
    """By Python's own decoder and a search of the whole text after each token."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, free = "", 0
    for count, token_id in enumerate(ids, start=1):
        is_hidden = skips and token_id in tokenizer.special_token_ids
        text += decoder.decode(b"" if is_hidden else tokenizer.token_bytes(token_id), final=count == len(ids))
        if count <= min_tokens:
            free = len(text)
        matches = [(i, -i - len(s), s) for s in stops for i in range(len(text)) if text.startswith(s, i)]
        matches = [match for match in matches if -match[1] > free]
        if matches:
            start, end, stop = min(matches)
            return Expected(text[: -end if keeps else start], count, stop)
    return Expected(text, len(ids), None)


@given(
    pieces=PIECES,
    loose=st.lists(st.integers(0, 260), max_size=6),
    stops=STOPS,
    sizes=SIZES,
    keeps=st.booleans(),
    skips=st.booleans(),
    min_tokens=st.integers(0, 8),
)
@settings(max_examples=400, deadline=None)
def test_any_tokens_in_any_bundles_end_where_the_rules_say(
    tokenizer: Tokenizer,
    make_outputs: Any,
    assemble: Any,
    pieces: list[str],
    loose: list[int],
    stops: tuple[str, ...],
    sizes: list[int],
    keeps: bool,
    skips: bool,
    min_tokens: int,
) -> None:
    """Loose ids are halves of characters, mostly."""
    ids = [*tokenizer.encode("".join(pieces), add_special_tokens=False), *loose]
    fields = {"stop": stops, "include_stop_str_in_output": keeps, "min_tokens": min_tokens}
    display = {"skip_special_tokens": skips, "spaces_between_special_tokens": False}
    text, entries, last, num_tokens = assemble(make_outputs(ids, sizes), **fields, **display)
    wanted = expected(tokenizer, ids, stops=stops, keeps=keeps, min_tokens=min_tokens, skips=skips)
    assert (text, num_tokens) == (wanted.text, wanted.num_tokens)
    assert (last.finish_reason, last.stop_reason) == ("length" if wanted.stop is None else "stop", wanted.stop)
    assert entries.text_offset == sorted(entries.text_offset)
    assert all(offset <= len(text) for offset in entries.text_offset)


@given(pieces=PIECES, stops=STOPS, sizes=SIZES, keeps=st.booleans(), spaces=st.booleans())
@settings(max_examples=200, deadline=None)
def test_names_join_to_the_text_and_offsets_are_where_they_stand(
    tokenizer: Tokenizer,
    make_outputs: Any,
    assemble: Any,
    pieces: list[str],
    stops: tuple[str, ...],
    sizes: list[int],
    keeps: bool,
    spaces: bool,
) -> None:
    ids = tokenizer.encode("".join(pieces), add_special_tokens=False)
    fields = {"stop": stops, "include_stop_str_in_output": keeps, "spaces_between_special_tokens": spaces}
    text, entries, _, _ = assemble(make_outputs(ids, sizes), skip_special_tokens=False, **fields)
    place = 0
    for name, offset in zip(entries.tokens, entries.text_offset, strict=True):
        if name.startswith("bytes:"):
            place = offset + 1
        else:
            assert offset == place
            assert name.startswith(text[offset : offset + len(name)])
            place = offset + len(name)
    assert place >= len(text)


# ---- stop tokens


@pytest.mark.parametrize(
    ("keeps", "reason_id", "shown"),
    [(False, IM_END, ""), (True, IM_END, "<|im_end|>"), (False, None, ""), (True, None, "")],
)
def test_a_stop_token_is_shown_where_that_is_asked_for_and_an_end_token_never(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any, keeps: bool, reason_id: int | None, shown: str
) -> None:
    ids = [*tokenizer.encode("ab", add_special_tokens=False), IM_END]
    outputs = make_outputs(ids, [1], FinishReason.STOP, stop_token_id=reason_id)
    text, entries, last, num_tokens = assemble(outputs, include_stop_str_in_output=keeps)
    assert (text, num_tokens, last.stop_reason) == ("ab" + shown, len(ids), reason_id)
    assert (entries.tokens[-1], entries.text_offset[-1]) == ("<|im_end|>", 2)


def test_a_stop_token_is_named_by_its_stop_string(make_outputs: Any, assemble: Any) -> None:
    outputs = make_outputs([IM_END], (), FinishReason.STOP, stop_token_id=IM_END)
    last = assemble(outputs, stop_names={IM_END: "<|im_end|>"})[2]
    assert last.stop_reason == "<|im_end|>"


def test_a_stop_token_may_complete_a_character(tokenizer: Tokenizer, make_outputs: Any, assemble: Any) -> None:
    ids = tokenizer.encode("🙂", add_special_tokens=False)
    outputs = make_outputs(ids, [1] * 9, FinishReason.STOP, stop_token_id=ids[-1])
    assert assemble(outputs, include_stop_str_in_output=True)[0] == "🙂"
    assert assemble(outputs)[0] == "\ufffd"


def test_a_shown_stop_token_is_not_searched_for_stop_strings(
    tokenizer: Tokenizer, make_outputs: Any, assemble: Any
) -> None:
    ids = tokenizer.encode("a<|im_end|>", add_special_tokens=False)
    outputs = make_outputs(ids, [1], FinishReason.STOP, stop_token_id=IM_END)
    text, _, last, _ = assemble(outputs, include_stop_str_in_output=True, stop=("a<|",))
    assert (text, last.stop_reason) == ("a<|im_end|>", IM_END)


def test_a_sample_without_a_token_left_says_so(make_outputs: Any, assemble: Any) -> None:
    last = assemble(make_outputs([40], error_code="no_token_left"))[2]
    assert (last.finish_reason, last.stop_reason) == ("length", "no_token_left")


def test_special_tokens_are_matched_as_they_are_shown(tokenizer: Tokenizer, make_outputs: Any, assemble: Any) -> None:
    ids = tokenizer.encode("a<|im_end|>b", add_special_tokens=False)
    assert assemble(make_outputs(ids), stop=("end",), skip_special_tokens=False)[0] == "a<|im_"
    assert assemble(make_outputs(ids), stop=("ab",))[0] == ""
