"""UTF-8 as it comes: bytes in, whole characters out, each with the number of bytes that it took."""

from __future__ import annotations

from typing import NamedTuple

REPLACEMENT = "\ufffd"


class Character(NamedTuple):
    text: str
    num_bytes: int


class Utf8Reader:
    """Keeps the beginning of a character until the rest of it comes, or something else does."""

    def __init__(self, *, replaces_bytes: bool) -> None:
        """
        Args:
            replaces_bytes: each byte of a broken character becomes U+FFFD; else the longest beginning of a character
                does, as Unicode recommends.
        """
        self._replaces_bytes = replaces_bytes
        self._rest = b""

    @property
    def has_rest(self) -> bool:
        """Whether a beginning of a character is kept."""
        return bool(self._rest)

    def read(self, data: bytes, *, is_last: bool = False) -> list[Character]:
        """The characters that are certain by now; with `is_last` nothing is kept."""
        data, self._rest = self._rest + data, b""
        characters: list[Character] = []
        while data:
            good, broken, data, is_cut = _next(data)
            characters += [Character(character, len(character.encode())) for character in good]
            if is_cut and not is_last:
                self._rest = broken
            elif broken:
                characters += self._replaced(len(broken))
        return characters

    def text(self, data: bytes, *, is_last: bool = False) -> str:
        """As `read`, for those who need no more than the text."""
        whole = None if self._rest else whole_text(data)
        return "".join(character.text for character in self.read(data, is_last=is_last)) if whole is None else whole

    def _replaced(self, num_bytes: int) -> list[Character]:
        if self._replaces_bytes:
            return [Character(REPLACEMENT, 1)] * num_bytes
        return [Character(REPLACEMENT, num_bytes)]


def whole_text(data: bytes) -> str | None:
    """The text, if it is whole characters."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _next(data: bytes) -> tuple[str, bytes, bytes, bool]:
    """Whole characters, the broken one after them, what follows, and whether the broken one may only be cut short."""
    try:
        return data.decode(), b"", b"", False
    except UnicodeDecodeError as error:
        broken, after = data[error.start : error.end], data[error.end :]
        return data[: error.start].decode(), broken, after, error.reason == "unexpected end of data"
