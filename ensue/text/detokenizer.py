"""Token ids to text, as they come: a decode()/flush() machine that never shows half a character."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ensue.text.tokenizer import Tokenizer


class DetokenizedToken(NamedTuple):
    """A token and the characters [start, end) of the detokenizer's text that it stands for.

    Tokens that share a split character share its place. The name is the token's own text, `bytes:\\xe2\\x80` where that
    is not valid UTF-8 by itself, `token_id:7` for an id without a token; a skipped special token takes no room.
    """

    token_id: int
    start: int
    end: int
    name: str


class Decoded(NamedTuple):
    """What has become certain: the next text, and the tokens whose characters are all in the text so far."""

    text: str
    tokens: tuple[DetokenizedToken, ...]


class Detokenizer:
    """Decodes one text; equal to `Tokenizer.decode` of all its ids, however they are cut."""

    def __init__(
        self, tokenizer: Tokenizer, *, context_ids: Iterable[int] = (), skip_special_tokens: bool = True
    ) -> None:
        """
        Args:
            context_ids: the ids before this text; where they show anything, a leading space stays.
        """
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_token_ids if skip_special_tokens else frozenset()
        self._is_at_start = not any(i not in self._skipped and tokenizer.token_bytes(i) for i in context_ids)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_chars = 0
        self._unsettled: deque[DetokenizedToken] = deque()

    def decode(self, token_ids: Iterable[int]) -> Decoded:
        """Take the next tokens."""
        text = "".join(map(self._take, token_ids))
        return Decoded(text, self._settled())

    def flush(self) -> Decoded:
        """End the text: what is left of a character becomes U+FFFD."""
        text = self._utf8.decode(b"", True)
        self._num_chars += len(text)
        return Decoded(text, self._settled())

    def _take(self, token_id: int) -> str:
        data = self._shown(token_id)
        name = token_name(self._tokenizer, token_id, data)
        if not data:
            self._unsettled.append(DetokenizedToken(token_id, self._num_chars, self._num_chars, name))
            return ""
        places, pieces = [], []
        for piece in _split(data) if self._has_rest() or not _is_utf8(data) else (data,):
            before = self._num_chars
            pieces.append(self._utf8.decode(piece))
            self._num_chars += len(pieces[-1])
            places.append((before if len(piece) > 1 else self._place_of_last_byte(), self._place_of_last_byte()))
        self._unsettled.append(DetokenizedToken(token_id, places[0][0], places[-1][1] + 1, name))
        return "".join(pieces)

    def _shown(self, token_id: int) -> bytes:
        if token_id in self._skipped:
            return b""
        data = self._tokenizer.token_bytes(token_id)
        if data and self._is_at_start:
            self._is_at_start = False
            data = self._tokenizer.drop_leading_spaces(data)
        return data

    def _has_rest(self) -> bool:
        """Whether part of a character waits for more bytes."""
        return bool(self._utf8.getstate()[0])

    def _place_of_last_byte(self) -> int:
        """Index of the character that the byte just taken belongs to."""
        return self._num_chars if self._has_rest() else self._num_chars - 1

    def _settled(self) -> tuple[DetokenizedToken, ...]:
        tokens = []
        while self._unsettled and self._unsettled[0].end <= self._num_chars:
            tokens.append(self._unsettled.popleft())
        return tuple(tokens)


def token_name(tokenizer: Tokenizer, token_id: int, data: bytes | None = None) -> str:
    """How log-probabilities name a token that stands for these bytes (by default, all of its own)."""
    data = data or tokenizer.token_bytes(token_id)
    if not data and tokenizer.token_text(token_id) is None:
        return f"token_id:{token_id}"
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _split(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))
