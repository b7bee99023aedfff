"""The bytes that each token of a vocabulary stands for, from the decoder of its tokenizer.json.

Text is the UTF-8 of the concatenated bytes, but for what the first token of a text leaves out. The families: byte-level
BPE (GPT-2, Llama 3, Qwen), whose token strings write each byte as a printable character; SentencePiece-like ones
(Llama 2, Mistral, Gemma), which write a space as ▁ and single bytes as <0xE2>; and words joined by spaces, where there
is no decoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ensue.errors import ModelError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

ToBytes = Callable[[str], bytes]


class Decoding(NamedTuple):
    """How token strings become text."""

    to_bytes: ToBytes
    first_to_bytes: ToBytes  # for the token that begins a text
    has_byte_tokens: bool = False  # then each byte of a broken character is one U+FFFD


def byte_characters() -> dict[str, int]:
    """GPT-2's alphabet: the printable Latin-1 characters stand for themselves, the other bytes for 256 and up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_CHARACTERS = byte_characters()


def decoding_of(decoder: Mapping[str, Any] | None) -> Decoding:
    """Read the `decoder` of a tokenizer.json.

    Raises:
        ModelError: a step whose bytes we don't know token by token.
    """
    if decoder is None:
        return Decoding(lambda token: (" " + token).encode(), str.encode)
    steps: Sequence[Mapping[str, Any]] = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    match [step for step in steps if step["type"] != "Fuse"]:
        case [{"type": "ByteLevel"}]:
            return Decoding(_from_byte_level, _from_byte_level)
        case [{"type": "Metaspace", "replacement": str(mark), **options}]:
            return _metaspace(mark, is_kept=options.get("prepend_scheme") == "never")
        case _:
            return _sentence_piece(steps)


def _from_byte_level(token: str) -> bytes:
    """A token with any character outside the alphabet (an added one) stands for its own text."""
    try:
        return bytes(_BYTE_CHARACTERS[character] for character in token)
    except KeyError:
        return token.encode()


def _metaspace(mark: str, *, is_kept: bool) -> Decoding:
    """The first token loses every mark, wherever in it: so the library has it."""

    def to_bytes(token: str) -> bytes:
        return token.replace(mark, " ").encode()

    return Decoding(to_bytes, to_bytes if is_kept else lambda token: token.replace(mark, "").encode())


def _sentence_piece(steps: Sequence[Mapping[str, Any]]) -> Decoding:
    replacements: list[tuple[str, str]] = []
    has_byte_tokens = is_fused = drops_space = False
    for step in steps:
        match step:
            case {"type": "Replace", "pattern": {"String": str(pattern)}, "content": str(content)}:
                replacements.append((pattern, content))
            case {"type": "ByteFallback"}:
                has_byte_tokens = True
            case {"type": "Fuse"}:
                is_fused = True
            case {"type": "Strip", "content": " ", "start": 0 | 1 as start, "stop": 0} if is_fused:
                drops_space = start == 1
            case _:
                raise ModelError(f"The tokenizer's decoder has a step that is not supported: {step['type']}.")
    to_bytes = _replacing(replacements, has_byte_tokens)
    first = (lambda token: to_bytes(token).removeprefix(b" ")) if drops_space else to_bytes
    return Decoding(to_bytes, first, has_byte_tokens)


def _replacing(replacements: Sequence[tuple[str, str]], has_byte_tokens: bool) -> ToBytes:
    def to_bytes(token: str) -> bytes:
        for pattern, content in replacements:
            token = token.replace(pattern, content)
        byte = _BYTE_TOKEN.fullmatch(token) if has_byte_tokens else None
        return bytes([int(byte[1], 16)]) if byte else token.encode()

    return to_bytes
