"""Streamed text equals the whole text, whatever the cut."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensue.text.detokenizer import DetokenizedToken, Detokenizer
from ensue.text.tokenizer import Tokenizer

shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
any_text = st.text(st.characters(codec="utf-8"), max_size=30)


def run(detokenizer: Detokenizer, pieces: list[list[int]]) -> tuple[str, list[DetokenizedToken], list[str]]:
    results = [detokenizer.decode(piece) for piece in pieces] + [detokenizer.flush()]
    tokens = [token for result in results for token in result.tokens]
    return "".join(r.text for r in results), tokens, [r.text for r in results]


def cut(ids: list[int], places: list[int]) -> list[list[int]]:
    borders = [0, *sorted(p % (len(ids) + 1) for p in places), len(ids)]
    return [ids[a:b] for a, b in itertools.pairwise(borders)]


@shared
@given(data=st.data())
def test_any_ids_in_any_cut_give_the_whole_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=25))
    places = data.draw(st.lists(st.integers(0, 25), max_size=6))
    skip = data.draw(st.booleans())
    text, tokens, _ = run(Detokenizer(tokenizer, skip_special_tokens=skip), cut(ids, places))
    assert text == tokenizer.decode(ids, skip_special_tokens=skip)
    assert [token.token_id for token in tokens] == ids


@shared
@given(text=any_text)
def test_valid_text_never_shows_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text.replace("\ufffd", ""))
    _, _, pieces = run(Detokenizer(tokenizer), [[i] for i in ids])
    assert not any("\ufffd" in piece for piece in pieces)


@shared
@given(text=any_text)
def test_names_of_whole_tokens_join_to_the_text_and_places_fit(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    shown, tokens, _ = run(Detokenizer(tokenizer), [ids])
    for token in tokens:
        assert (
            token.name.startswith("bytes:") or token.start == token.end or shown[token.start : token.end] == token.name
        )
    assert [t.start for t in tokens] == sorted(t.start for t in tokens)
    assert not tokens or tokens[-1].end == len(shown)


@shared
@given(prompt=any_text, data=st.data())
def test_a_text_in_context_is_what_the_whole_adds(tokenizer: Tokenizer, prompt: str, data: st.DataObject) -> None:
    before = tokenizer.encode(prompt)
    ids = tokenizer.encode(data.draw(any_text), add_special_tokens=False)
    text, _, _ = run(Detokenizer(tokenizer, context_ids=before), [ids])
    whole = tokenizer.decode(before + ids, skip_special_tokens=True)
    assert whole == tokenizer.decode(before, skip_special_tokens=True) + text


def test_tokens_of_a_split_character_share_its_place(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a🤖", add_special_tokens=False)
    shown, tokens, _ = run(Detokenizer(tokenizer), [[i] for i in ids])
    parts = [token for token in tokens if token.name.startswith("bytes:")]
    assert len(parts) > 1
    assert {(token.start, token.end) for token in parts} == {(len(shown) - 1, len(shown))}


def test_special_tokens_take_no_room_and_keep_their_name(tokenizer: Tokenizer) -> None:
    eos = tokenizer.eos_token_id
    assert eos is not None
    assert Detokenizer(tokenizer).decode([eos]).tokens == (DetokenizedToken(eos, 0, 0, "</s>"),)
    assert Detokenizer(tokenizer, skip_special_tokens=False).decode([eos]).text == "</s>"


def test_an_id_without_a_token_is_named_by_its_number(tokenizer: Tokenizer) -> None:
    assert Detokenizer(tokenizer).decode([10**6]).tokens == (DetokenizedToken(10**6, 0, 0, "token_id:1000000"),)
