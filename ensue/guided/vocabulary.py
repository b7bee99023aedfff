"""The bytes of every token, as backends need them: no tokenizer, no text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Vocabulary:
    """`tokens[i]` is what token i adds to a text; empty for an id without a token.

    Special tokens are in no text that is guided, whatever their bytes.
    """

    tokens: tuple[bytes, ...]
    special_ids: frozenset[int] = frozenset()

    @cached_property
    def digest(self) -> bytes:
        """Equal for equal vocabularies only."""
        state = hashlib.blake2b(digest_size=16)
        for token_id, token in enumerate(self.tokens):
            state.update(f"{len(token)} {token_id in self.special_ids}\n".encode() + token)
        return state.digest()

    @property
    def num_bitmask_bytes(self) -> int:
        return (len(self.tokens) + 7) // 8


BYTES = Vocabulary(tuple(bytes([byte]) for byte in range(256)))  # to follow a text whatever its tokens are
