"""Streamed text equals the whole text, whatever the cut."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import tokenizers
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ensue.text.detokenizer import DetokenizedToken, Detokenizer
from ensue.text.tokenizer import Tokenizer
from ensue.text.utf8 import whole_text
from tests.text.conftest import byte_level, gemma_like, sentence_piece

shared = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
    deadline=None,
    max_examples=60,
)
any_text = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.fixture(scope="module", params=[byte_level, sentence_piece, gemma_like])
def with_bytes(request: pytest.FixtureRequest) -> Tokenizer:
    """Those that have tokens for parts of characters."""
    return Tokenizer(request.param(), {"eos_token": "</s>"}, None)


def run(detokenizer: Detokenizer, pieces: list[list[int]]) -> tuple[str, list[DetokenizedToken], list[str]]:
    results = [detokenizer.decode(piece) for piece in pieces] + [detokenizer.flush()]
    tokens = [token for result in results for token in result.tokens]
    return "".join(r.text for r in results), tokens, [r.text for r in results]


def cut(ids: list[int], places: list[int]) -> list[list[int]]:
    borders = [0, *sorted(p % (len(ids) + 1) for p in places), len(ids)]
    return [ids[a:b] for a, b in itertools.pairwise(borders)]


def random_ids(tokenizer: Tokenizer) -> st.SearchStrategy[list[int]]:
    """Any ids, some of them without a token."""
    return st.lists(st.integers(0, tokenizer.vocab_size + 2), max_size=25)


def is_taken_back(tokenizer: Tokenizer, ids: list[int], *, skip: bool) -> bool:
    """Whether a run of byte tokens is broken but has whole characters: the library turns these into U+FFFD, too."""
    texts = [tokenizer.token_text(i) for i in ids if not (skip and i in tokenizer.special_token_ids)]
    for is_run, run_texts in itertools.groupby(
        filter(None, texts), lambda text: re.fullmatch("<0x..>", text) is not None
    ):
        data = bytes(int(text[3:5], 16) for text in run_texts) if is_run else b""
        if whole_text(data) is None and data.decode("utf-8", "ignore"):
            return True
    return False


@shared
@given(data=st.data())
def test_any_ids_in_any_cut_give_the_whole_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(random_ids(tokenizer))
    places = data.draw(st.lists(st.integers(0, 25), max_size=6))
    skip = data.draw(st.booleans())
    text, tokens, _ = run(Detokenizer(tokenizer, skip_special_tokens=skip), cut(ids, places))
    assert text == tokenizer.decode(ids, skip_special_tokens=skip)
    assert [token.token_id for token in tokens] == ids


@shared
@given(data=st.data())
def test_without_places_the_text_is_the_same_piece_by_piece(tokenizer: Tokenizer, data: st.DataObject) -> None:
    pieces = cut(data.draw(random_ids(tokenizer)), data.draw(st.lists(st.integers(0, 25), max_size=6)))
    more: dict[str, Any] = {
        "skip_special_tokens": data.draw(st.booleans()),
        "spaces_between_special_tokens": data.draw(st.booleans()),
    }
    _, _, texts = run(Detokenizer(tokenizer, **more), pieces)
    plain = Detokenizer(tokenizer, **more, places_tokens=False)
    assert [*map(plain.read, pieces), plain.flush().text] == texts


@shared
@given(data=st.data())
def test_any_ids_equal_the_library(backend: tokenizers.Tokenizer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids, skip = data.draw(random_ids(tokenizer)), data.draw(st.booleans())
    assume(not is_taken_back(tokenizer, ids, skip=skip))
    text, _, _ = run(Detokenizer(tokenizer, skip_special_tokens=skip), [[i] for i in ids])
    assert text == backend.decode(ids, skip_special_tokens=skip)


@shared
@given(text=any_text)
def test_an_encoded_text_equals_the_library_and_never_shows_half_a_character(
    backend: tokenizers.Tokenizer, tokenizer: Tokenizer, text: str
) -> None:
    ids = tokenizer.encode(text.replace("\ufffd", ""))
    whole, _, pieces = run(Detokenizer(tokenizer), [[i] for i in ids])
    assert whole == backend.decode(ids, skip_special_tokens=True)
    assert not any("\ufffd" in piece for piece in pieces)


@shared
@given(data=st.data())
def test_places_ascend_and_names_of_whole_tokens_are_their_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.one_of(random_ids(tokenizer), any_text.map(tokenizer.encode)))
    shown, tokens, _ = run(Detokenizer(tokenizer), [ids])
    assert [t.start for t in tokens] == sorted(t.start for t in tokens)
    assert max((t.end for t in tokens), default=0) == len(shown)
    for token in tokens:
        if token.start == token.end:
            assert token.name == "" or token.token_id in tokenizer.special_token_ids or ":" in token.name
        elif "\ufffd" not in shown and not token.name.startswith("bytes:"):
            assert shown[token.start : token.end] == token.name


@shared
@given(prompt=any_text, data=st.data())
def test_a_text_in_context_is_what_the_whole_adds(tokenizer: Tokenizer, prompt: str, data: st.DataObject) -> None:
    before = tokenizer.encode(prompt)
    ids = tokenizer.encode(data.draw(any_text), add_special_tokens=False)
    text, _, _ = run(Detokenizer(tokenizer, context_ids=before), [ids])
    whole = tokenizer.decode(before + ids, skip_special_tokens=True)
    assert whole == tokenizer.decode(before, skip_special_tokens=True) + text


def test_tokens_of_a_split_character_share_its_place(with_bytes: Tokenizer) -> None:
    ids = with_bytes.encode("a🤖", add_special_tokens=False)
    shown, tokens, _ = run(Detokenizer(with_bytes), [[i] for i in ids])
    parts = [token for token in tokens if token.name.startswith("bytes:")]
    assert len(parts) > 1
    assert {(token.start, token.end) for token in parts} == {(len(shown) - 1, len(shown))}


def test_each_byte_token_of_a_character_cut_short_has_its_own_place() -> None:
    tokenizer = Tokenizer(sentence_piece(), {}, None)
    ids = [id_ for name in ("<0x0A>", "<0xE6>", "<0x9D>") if (id_ := tokenizer.token_id(name)) is not None]
    _, tokens, pieces = run(Detokenizer(tokenizer), [[i] for i in ids])
    assert pieces == ["\n", "", "", "\ufffd\ufffd"]
    assert [(token.start, token.end, token.name) for token in tokens] == [
        (0, 1, "\n"),
        (1, 2, "bytes:\\xe6"),
        (2, 3, "bytes:\\x9d"),
    ]


def test_a_special_token_within_a_split_character_keeps_its_order(with_bytes: Tokenizer) -> None:
    eos = with_bytes.eos_token_id
    ids = with_bytes.encode("🤖", add_special_tokens=False)
    assert eos is not None
    shown, tokens, _ = run(Detokenizer(with_bytes), [[i] for i in (*ids[:-1], eos, ids[-1])])
    assert shown.endswith("🤖")
    assert [token.token_id for token in tokens] == [*ids[:-1], eos, ids[-1]]
    assert tokens[-2].start == tokens[-2].end == tokens[-1].start


def test_special_tokens_take_no_room_and_keep_their_name(tokenizer: Tokenizer) -> None:
    eos = tokenizer.eos_token_id
    assert eos is not None
    assert Detokenizer(tokenizer).decode([eos]).tokens == (DetokenizedToken(eos, 0, 0, "</s>"),)
    assert Detokenizer(tokenizer, skip_special_tokens=False).decode([eos]).text == "</s>"


def test_an_id_without_a_token_is_named_by_its_number(tokenizer: Tokenizer) -> None:
    assert Detokenizer(tokenizer).decode([10**6]).tokens == (DetokenizedToken(10**6, 0, 0, "token_id:1000000"),)


def test_a_leading_space_is_not_shown_and_not_named() -> None:
    tokenizer = Tokenizer(sentence_piece(), {}, None)
    the = tokenizer.token_id("▁the")
    assert the is not None
    first, second = Detokenizer(tokenizer).decode([the, the]).tokens
    assert (first.name, second.name) == ("the", " the")
    assert Detokenizer(tokenizer, context_ids=[the]).decode([the]).text == " the"


@pytest.mark.parametrize(("spaces", "expected"), [(True, "</s> </s>the</s>"), (False, "</s></s>the</s>")])
def test_neighbouring_special_tokens_have_a_space_between_them(spaces: bool, expected: str) -> None:
    tokenizer = Tokenizer(byte_level(), {"eos_token": "</s>"}, None)
    eos, the = tokenizer.eos_token_id, tokenizer.encode("the", add_special_tokens=False)
    assert eos is not None
    detokenizer = Detokenizer(tokenizer, skip_special_tokens=False, spaces_between_special_tokens=spaces)
    text, tokens, _ = run(detokenizer, [[i] for i in (eos, eos, *the, eos)])
    assert text == "".join(token.name for token in tokens) == expected
    assert all(text[token.start : token.end] == token.name for token in tokens)


def test_spaces_need_special_tokens_that_are_shown(tokenizer: Tokenizer) -> None:
    eos = tokenizer.eos_token_id
    assert eos is not None
    assert run(Detokenizer(tokenizer, spaces_between_special_tokens=True), [[eos, eos]])[0] == ""


def test_a_special_token_can_be_shown_where_others_are_skipped() -> None:
    tokenizer = Tokenizer(byte_level(), {"eos_token": "</s>"}, None)
    eos = tokenizer.eos_token_id
    assert eos is not None
    detokenizer = Detokenizer(tokenizer)
    assert detokenizer.decode([eos]).text == ""
    assert detokenizer.decode([eos], shows_special=True) == ("</s>", (DetokenizedToken(eos, 0, 4, "</s>"),))
