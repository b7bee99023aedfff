"""Prompts as ids and as text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ensue.engine.fake import FakeEngine
from ensue.errors import ContextLengthExceeded, InvalidRequest
from ensue.service.prompt import encode_prompts
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer

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


def test_text_and_places_are_kept_only_where_they_are_shown(encode: Any) -> None:
    assert (encode("Hello").text, encode("Hello").tokens) == ("", ())
    assert encode("Hello", echo=True).tokens == ()
    assert encode("Hello", logprobs=1).num_chars == 5


def test_a_text_too_long_to_fit_is_refused_before_it_is_encoded(
    encode: Any, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "encode", lambda *_: pytest.fail("encoded"))
    assert tokenizer.longest_token_chars is not None
    with pytest.raises(ContextLengthExceeded):
        encode("x" * (1024 * tokenizer.longest_token_chars + 1))


def test_an_empty_text_needs_a_token_that_begins_texts(
    encode: Any, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "bos_token", None)
    monkeypatch.setattr(tokenizer, "encode", lambda *_: [])
    with pytest.raises(InvalidRequest) as raised:
        encode("")
    assert raised.value.param == "prompt"


@pytest.mark.parametrize(("is_list", "param"), [(True, "prompt[0][1]"), (False, "prompt[1]")])
def test_an_id_out_of_range_is_named(encode: Any, is_list: bool, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode((5, 10**6), is_list=is_list)
    assert raised.value.param == param
