"""Words that must not be generated, as the token sequences that would write them."""

from __future__ import annotations

from collections.abc import Sequence

from ensue.errors import InvalidRequest
from ensue.text.tokenizer import Tokenizer


def bad_words_token_ids(words: Sequence[str], tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """The ways in which the tokenizer writes each word: at the beginning of a text, and after a space.

    Raises:
        InvalidRequest: a word that it cannot write.
    """
    found = (ids for index, word in enumerate(words) for ids in _ways(word, f"bad_words[{index}]", tokenizer))
    return tuple(dict.fromkeys(found))


def _ways(word: str, path: str, tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    stem = word.lstrip(" ") or word  # spaces alone are a word, too
    ways = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in (stem, " " + stem)]
    if not all(ways) or any(_is_unknown(word, ids, tokenizer) for ids in ways):
        raise InvalidRequest("This model has no tokens for that word.", param=path)
    return ways


def _is_unknown(word: str, token_ids: tuple[int, ...], tokenizer: Tokenizer) -> bool:
    unknown = tokenizer.special_tokens.get("unk_token")
    return unknown is not None and unknown not in word and tokenizer.token_id(unknown) in token_ids
