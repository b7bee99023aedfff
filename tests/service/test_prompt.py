"""Prompts as ids and as text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from ensue.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from ensue.service.prompt import encode_prompts
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer
from tests.text.conftest import byte_level, sentence_piece

SCORED: dict[str, Any] = {"echo": True, "logprobs": 1}


def test_a_text_is_kept_exactly_as_given(encode: Any) -> None:
    for text in ("Hello", " é🙂 ", "a<|im_start|>b", ""):
        assert encode(text, echo=True).text == text


def test_ids_are_shown_as_their_text_without_special_tokens(tokenizer: Tokenizer, encode: Any) -> None:
    ids = tuple(tokenizer.encode("Hello<|im_end|> you"))
    assert encode(ids, echo=True).text == "Hello you"


def test_ids_without_a_token_show_nothing(encode: Any, tokenizer: Tokenizer) -> None:
    info = FakeEngine(logits_width=tokenizer.vocab_size + 8).info
    request = CompletionRequest("id", ((40, tokenizer.vocab_size + 1),), **SCORED)
    prompt = encode_prompts(request, tokenizer, info)[0]
    assert prompt.text == tokenizer.decode([40])
    assert prompt.tokens[1].name == f"token_id:{tokenizer.vocab_size + 1}"


def test_special_tokens_written_in_a_text_take_their_room(tokenizer: Tokenizer, encode: Any) -> None:
    prompt = encode("a<|im_start|>b", **SCORED)
    places = {token.name: (token.start, token.end) for token in prompt.tokens}
    assert places["<|im_start|>"] == (1, 13)
    assert places["b"] == (13, 14)
    assert places["<|begin_of_text|>"] == (0, 0)


@pytest.mark.parametrize("text", ["Hello you", " é🙂 x", "🙂"])
def test_places_cover_the_text(encode: Any, text: str) -> None:
    tokens = encode(text, **SCORED).tokens
    assert tokens[0].start == 0
    assert tokens[-1].end == len(text)
    assert all(after.start in (before.end, before.end - 1) for before, after in pairwise(tokens))


def test_the_space_that_begins_texts_is_in_no_name() -> None:
    tokenizer = Tokenizer(sentence_piece(), {"bos_token": "<s>"}, None)
    for text in ("the dog", " the dog", ""):
        (prompt,) = encode_prompts(CompletionRequest("id", (text,), **SCORED), tokenizer, FakeEngine().info)
        assert "".join(token.name for token in prompt.tokens[1:]) == prompt.text == text


def test_text_and_places_are_kept_only_where_they_are_shown(encode: Any) -> None:
    assert (encode("Hello").text, encode("Hello").tokens) == ("", ())
    assert encode("Hello", echo=True).tokens == ()
    assert encode("Hello", logprobs=1).num_chars == 5


def test_a_text_too_long_to_fit_is_refused_before_it_is_encoded(
    encode: Any, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "encode", lambda *_, **__: pytest.fail("encoded"))
    assert tokenizer.longest_token_chars is not None
    with pytest.raises(ContextLengthExceeded):
        encode("x" * (1024 * tokenizer.longest_token_chars + 1))


def test_an_empty_text_needs_a_token_that_begins_texts(
    encode: Any, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "bos_token", None)
    monkeypatch.setattr(tokenizer, "encode", lambda *_, **__: [])
    with pytest.raises(InvalidRequest) as raised:
        encode("")
    assert raised.value.param == "prompt"


@pytest.mark.parametrize(("is_list", "param"), [(True, "prompt[0][1]"), (False, "prompt[1]")])
def test_an_id_out_of_range_is_named(encode: Any, is_list: bool, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode((5, 10**6), is_list=is_list)
    assert raised.value.param == param


def refused(encode: Any, prompt: str | tuple[int, ...] = "a b", **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        encode(prompt, **fields)
    return raised.value


# ---- truncation


@pytest.mark.parametrize(
    ("limit", "kept", "echo"),
    [
        (1, "<|begin_of_text|>", ""),
        (2, "<|begin_of_text|> c", " c"),
        (3, "<|begin_of_text|> b c", " b c"),
        (4, "", "a b c"),
    ],
)
def test_the_last_tokens_are_kept_and_the_first_one_with_them(
    encode: Any, tokenizer: Tokenizer, limit: int, kept: str, echo: str
) -> None:
    prompt = encode("a b c", truncate_prompt_tokens=limit, echo=True, logprobs=0)
    assert tokenizer.decode(prompt.token_ids) == (kept or "<|begin_of_text|>a b c")
    assert (prompt.text, len(prompt.tokens)) == (echo, limit)


def test_ids_are_truncated_as_texts_are(encode: Any, tokenizer: Tokenizer) -> None:
    bos = tokenizer.bos_token_id
    assert encode((bos, 40, 41, 42), truncate_prompt_tokens=2).token_ids == (bos, 42)
    assert encode((40, 41, 42), truncate_prompt_tokens=2).token_ids == (41, 42)


def test_the_first_tokens_are_kept_where_the_right_is_cut(encode: Any, tokenizer: Tokenizer) -> None:
    bos = tokenizer.bos_token_id
    assert encode((bos, 40, 41, 42), truncate_prompt_tokens=2, truncation_side="right").token_ids == (bos, 40)
    prompt = encode("a b", suffix=" c", truncate_prompt_tokens=6, truncation_side="right", echo=True)
    assert prompt.text == "a"


def test_a_prompt_longer_than_the_context_can_be_truncated(encode: Any) -> None:
    text = "one two three " * 20_000
    assert len(encode(text, truncate_prompt_tokens=7).token_ids) == 7


@pytest.mark.parametrize("limit", [0, -1, 1025])
def test_a_truncation_out_of_range_is_refused(encode: Any, limit: int) -> None:
    assert refused(encode, truncate_prompt_tokens=limit).param == "truncate_prompt_tokens"


# ---- special tokens


def test_special_tokens_are_added_unless_that_is_turned_off(encode: Any, tokenizer: Tokenizer) -> None:
    ids = encode("a<|im_end|>", add_special_tokens=False).token_ids
    assert tokenizer.decode(ids) == "a<|im_end|>"
    assert encode("a<|im_end|>").token_ids == (tokenizer.bos_token_id, *ids)
    assert encode("", add_special_tokens=False).token_ids == (tokenizer.bos_token_id,)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "ab"),
        ({"skip_special_tokens": False}, "a<|im_end|> <|im_end|>b"),
        ({"skip_special_tokens": False, "spaces_between_special_tokens": False}, "a<|im_end|><|im_end|>b"),
    ],
)
def test_ids_are_shown_as_the_completion_is(
    encode: Any, tokenizer: Tokenizer, fields: dict[str, Any], text: str
) -> None:
    ids = tuple(tokenizer.encode("a<|im_end|><|im_end|>b", add_special_tokens=False))
    assert encode(ids, echo=True, **fields).text == text


# ---- a gap before a suffix


def test_a_suffix_goes_before_the_gap_and_after_the_special_token(encode: Any, tokenizer: Tokenizer) -> None:
    prompt = encode("a b", suffix=" c", echo=True)
    wanted = "<|begin_of_text|><|fim_prefix|>a b<|fim_suffix|> c<|fim_middle|>"
    assert tokenizer.decode(prompt.token_ids) == wanted
    assert prompt.text == "a b"
    assert encode("a b", suffix=" c", logprobs=0).num_chars == 3
    assert list(encode("a b", suffix=" c", add_special_tokens=False).token_ids) == list(prompt.token_ids)[1:]


def test_an_empty_suffix_is_none(encode: Any) -> None:
    assert encode("a b", suffix="") == encode("a b")
    assert encode((40, 41), suffix="") == encode((40, 41))


def test_truncation_cuts_the_text_before_the_gap_only(encode: Any, tokenizer: Tokenizer) -> None:
    prompt = encode("a b", suffix=" c", truncate_prompt_tokens=6, echo=True)
    wanted = "<|begin_of_text|><|fim_prefix|> b<|fim_suffix|> c<|fim_middle|>"
    assert (tokenizer.decode(prompt.token_ids), prompt.text) == (wanted, " b")
    assert encode("a b", suffix=" c", truncate_prompt_tokens=5, echo=True).text == ""
    assert refused(encode, suffix=" c", truncate_prompt_tokens=4).param == "truncate_prompt_tokens"


def test_what_a_suffix_cannot_go_with_is_refused(encode: Any) -> None:
    assert refused(encode, (40, 41), suffix="c").param == "suffix"
    assert refused(encode, suffix="c", echo=True, logprobs=0).param == "logprobs"


def test_the_suffix_counts_in_the_length(encode: Any) -> None:
    for text, suffix in (("a", " b" * 1022), ("a", "x" * 10**6)):
        assert isinstance(refused(encode, text, suffix=suffix), ContextLengthExceeded)


def test_a_model_without_sentinels_takes_no_suffix() -> None:
    tokenizer = Tokenizer(byte_level(), {}, None)
    with pytest.raises(UnsupportedParameter) as raised:
        encode_prompts(CompletionRequest("id", ("a",), suffix="b"), tokenizer, FakeEngine().info)
    assert raised.value.param == "suffix"
