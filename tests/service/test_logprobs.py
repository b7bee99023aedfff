"""Entries of prompts and completions: names, numbers, offsets."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ensue.outputs import TokenLogprobs
from ensue.service.logprobs import Entries, Logprobs, Scores, prompt_entries, rows
from ensue.text.detokenizer import DetokenizedToken
from ensue.text.tokenizer import Tokenizer


def entry(tokenizer: Tokenizer, num_top: int, scores: Scores, token_id: int = 40) -> dict[str, float] | None:
    logprobs = Logprobs()
    name = tokenizer.token_bytes(token_id).decode()
    Entries(tokenizer, num_top).add(logprobs, DetokenizedToken(token_id, 0, 1, name), scores)
    top = logprobs.top_logprobs[0]
    assert top is not None
    assert top[name] == logprobs.token_logprobs[0]
    return top


def test_the_chosen_token_is_added_where_it_is_not_among_the_likeliest(tokenizer: Tokenizer) -> None:
    top = entry(tokenizer, 2, Scores(-9.0, (41, 42), (-1.0, -2.0), 9))
    assert top is not None
    assert list(top.values()) == [-1.0, -2.0, -9.0]


def test_the_chosen_token_stands_where_it_belongs(tokenizer: Tokenizer) -> None:
    top = entry(tokenizer, 2, Scores(-1.5, (41, 40), (-1.0, -1.5), 2))
    assert top is not None
    assert list(top.values()) == [-1.0, -1.5]


def test_zero_logprobs_have_the_chosen_token_alone(tokenizer: Tokenizer) -> None:
    assert entry(tokenizer, 0, Scores(-1.0, (), (), 1)) == {tokenizer.token_bytes(40).decode(): -1.0}


def test_minus_infinity_is_written_as_a_number(tokenizer: Tokenizer) -> None:
    top = entry(tokenizer, 1, Scores(-math.inf, (41,), (-math.inf,), 2))
    assert top is not None
    assert set(top.values()) == {-9999.0}


def test_of_two_tokens_with_one_name_the_larger_number_stays(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "token_bytes", lambda token_id: b"same")
    monkeypatch.setattr(tokenizer, "token_names", dict.fromkeys(range(99), "same"))
    top = entry(tokenizer, 3, Scores(-9.0, (41, 42, 43), (-1.0, -2.0, -3.0), 9), token_id=41)
    assert top == {"same": -9.0}


def test_the_first_token_of_a_prompt_has_no_number(tokenizer: Tokenizer, encode: Any) -> None:
    prompt = encode("Hello you", echo=True, logprobs=1)
    scored = prompt.token_ids[1:]
    columns = TokenLogprobs((-1.0,) * len(scored), (1,) * len(scored), ((40,),) * len(scored), ((-1.0,),) * len(scored))
    logprobs = prompt_entries(prompt.tokens, rows(columns), Entries(tokenizer, 1))
    assert (logprobs.token_logprobs[0], logprobs.top_logprobs[0]) == (None, None)
    assert len(logprobs.tokens) == len(prompt.token_ids)
    assert "".join(logprobs.tokens[1:]) == "Hello you"
    assert logprobs.text_offset[:2] == [0, 0]  # the added token takes no room


def test_tokens_can_be_named_by_their_ids(tokenizer: Tokenizer) -> None:
    logprobs, entries = Logprobs(), Entries(tokenizer, 1, names_ids=True)
    entries.add_first(logprobs, DetokenizedToken(7, 0, 1, "x"))
    entries.add(logprobs, DetokenizedToken(40, 1, 2, "y"), Scores(-9.0, (41, 42), (-1.0, -2.0), 5))
    assert logprobs.tokens == ["token_id:7", "token_id:40"]
    assert logprobs.top_logprobs == [None, {"token_id:41": -1.0, "token_id:40": -9.0}]
