"""Token ids to text, as they come: a decode()/flush() machine that never shows half a character.

The text so far never changes. So it differs from the library's in one case: that one turns a whole run of <0x…> tokens
into U+FFFD if any of them is broken, which takes back characters (line ends, often) that a stream has shown already.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ensue.text.token_names import name_of
from ensue.text.tokenizer import Tokenizer
from ensue.text.utf8 import Character, whole_text


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


class _Waiting(NamedTuple):
    """A token, part of which may be part of a character: bytes [start, end) since the first that waits."""

    token_id: int
    start: int
    end: int
    name: str


class Detokenizer:
    """Decodes one text; equal to `Tokenizer.decode` of all its ids, however they are cut."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        context_ids: Iterable[int] = (),
        skip_special_tokens: bool = True,
        spaces_between_special_tokens: bool = False,
        begins_text: bool | None = None,
        places_tokens: bool = True,
    ) -> None:
        """
        Args:
            context_ids: the ids before this text; where they show anything, a leading space stays.
            spaces_between_special_tokens: a space goes before a special token that follows another, where both are
                shown; it belongs to the second.
            begins_text: whether a leading space goes; None: where the context shows nothing.
            places_tokens: whether it is told where each token stands; quicker without.
        """
        self._tokenizer = tokenizer
        self._whole_texts = tokenizer.whole_texts
        self._special = tokenizer.special_token_ids
        self._skipped = self._special if skip_special_tokens else frozenset()
        self._has_spaces = spaces_between_special_tokens and not skip_special_tokens
        self._is_after_special = False
        if begins_text is None:
            begins_text = not any(i not in self._skipped and tokenizer.token_bytes(i) for i in context_ids)
        self._is_at_start = begins_text
        self._places_tokens = places_tokens
        self._reader = tokenizer.utf8_reader()
        self._num_chars = 0  # of the text so far
        self._settled: list[DetokenizedToken] = []  # to be returned next
        # Of what was read since every token was settled: [0, num_bytes) taken, and where each character of it ends.
        self._waiting: deque[_Waiting] = deque()
        self._num_bytes = 0
        self._char_ends: list[int] = []

    def decode(self, token_ids: Iterable[int], *, shows_special: bool = False) -> Decoded:
        """Take the next tokens.

        Args:
            shows_special: special ones among them are shown even where they are skipped elsewhere.
        """
        if not self._places_tokens:
            return Decoded(self.read(tuple(token_ids), shows_special=shows_special), ())
        return self._news("".join([self._take(token_id, shows_special) for token_id in token_ids]))

    def read(self, token_ids: Sequence[int], *, shows_special: bool = False) -> str:
        """As `decode`, where tokens are not placed."""
        assert not self._places_tokens
        if not (self._is_at_start or self._has_spaces or self._reader.has_rest):
            texts = [self._whole_texts[token_id] for token_id in token_ids]
            if None not in texts:  # nearly always
                return "".join(texts)  # type: ignore[arg-type]
        return self._reader.text(b"".join([self._data(token_id, shows_special) or b"" for token_id in token_ids]))

    def flush(self) -> Decoded:
        """End the text: what is left of a character becomes U+FFFD."""
        if not self._places_tokens:
            return Decoded(self._reader.text(b"", is_last=True), ())
        return self._news(self._place(self._reader.read(b"", is_last=True)))

    def _news(self, text: str) -> Decoded:
        tokens, self._settled = tuple(self._settled), []
        return Decoded(text, tokens)

    def _take(self, token_id: int, shows_special: bool) -> str:
        data, name = self._shown(token_id, shows_special)
        text = None if self._waiting else whole_text(data)
        if text is not None:  # nearly always
            start, self._num_chars = self._num_chars, self._num_chars + len(text)
            self._settled.append(DetokenizedToken(token_id, start, self._num_chars, name))
            return text
        start, self._num_bytes = self._num_bytes, self._num_bytes + len(data)
        self._waiting.append(_Waiting(token_id, start, self._num_bytes, name))
        return self._place(self._reader.read(data))

    def _shown(self, token_id: int, shows_special: bool) -> tuple[bytes, str]:
        """What a token adds to the text, and its name."""
        data = self._data(token_id, shows_special)
        return (b"", self._tokenizer.token_names[token_id]) if data is None else (data, name_of(data))

    def _data(self, token_id: int, shows_special: bool) -> bytes | None:
        """What a token adds to the text; None where it is skipped or stands for nothing."""
        is_after_special, self._is_after_special = self._is_after_special, token_id in self._special
        data = self._tokenizer.token_bytes(token_id)
        if not data or (token_id in self._skipped and not shows_special):
            return None
        if self._is_at_start:
            self._is_at_start = False
            data = self._tokenizer.token_bytes(token_id, begins_text=True)
        if self._has_spaces and is_after_special and self._is_after_special:
            data = b" " + data
        return data

    def _place(self, characters: Iterable[Character]) -> str:
        """Add characters to the text, and settle the tokens that are wholly in it."""
        read, ends = list(characters), self._char_ends
        first = self._num_chars - len(ends)  # the character that the first byte belongs to
        for character in read:
            ends.append((ends[-1] if ends else 0) + character.num_bytes)
        self._num_chars += len(read)
        while self._waiting and ends and self._waiting[0].end <= ends[-1]:
            token_id, start, end, name = self._waiting.popleft()
            char_start = first + bisect_right(ends, start)
            char_end = first + bisect_left(ends, end) + 1 if end > start else char_start
            self._settled.append(DetokenizedToken(token_id, char_start, char_end, name))
        if not self._waiting:
            self._num_bytes = 0
            ends.clear()
        return "".join(character.text for character in read)
