"""Words that must not be generated, as tokens."""

from __future__ import annotations

import pytest

from ensue.errors import InvalidRequest
from ensue.service.bad_words import bad_words_token_ids
from ensue.text.tokenizer import Tokenizer
from tests.text.conftest import words


@pytest.mark.parametrize("word", ["fox", " fox"])
def test_a_word_is_banned_at_the_beginning_and_after_a_space(tokenizer: Tokenizer, word: str) -> None:
    found = bad_words_token_ids([word], tokenizer)
    assert [tokenizer.decode(ids) for ids in found] == ["fox", " fox"]
    assert tokenizer.bos_token_id not in {id_ for ids in found for id_ in ids}


def test_words_with_the_same_tokens_are_banned_once(tokenizer: Tokenizer) -> None:
    assert bad_words_token_ids(["fox", " fox"], tokenizer) == bad_words_token_ids(["fox"], tokenizer)


def test_white_space_is_a_word(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(bad_words_token_ids([" "], tokenizer)[0]) == " "
    assert tokenizer.decode(bad_words_token_ids(["\n"], tokenizer)[0]) == "\n"


@pytest.mark.parametrize("word", ["", "wolf"])
def test_a_word_without_tokens_is_refused(word: str) -> None:
    tokenizer = Tokenizer(words(), {"unk_token": "<unk>"}, None)
    with pytest.raises(InvalidRequest) as raised:
        bad_words_token_ids(["fox", word], tokenizer)
    assert raised.value.param == "bad_words[1]"
