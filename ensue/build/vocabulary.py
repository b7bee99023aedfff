"""A tokenizer's tokens, as guided decoding needs them."""

from __future__ import annotations

from ensue.guided.vocabulary import Vocabulary
from ensue.text.tokenizer import Tokenizer


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """The bytes of every token within a text: none begins it."""
    tokens = tuple(map(tokenizer.token_bytes, range(tokenizer.vocab_size)))
    return Vocabulary(tokens, tokenizer.special_token_ids)
