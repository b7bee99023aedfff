"""The bytes that each token of a vocabulary stands for, from the decoder of its tokenizer.json.

Text is the UTF-8 of the concatenated bytes. Two families exist: byte-level BPE (GPT-2, Llama 3, Qwen), whose token
strings write each byte as a printable character, and SentencePiece-like ones (Llama 2, Mistral), whose strings write a
space as ▁ and single bytes as <0xE2>, and whose text drops a leading space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ensue.errors import ModelError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

ToBytes = Callable[[str], bytes]


class Decoding(NamedTuple):
    """How token strings become text."""

    to_bytes: ToBytes
    num_leading_spaces: int  # dropped from the start of a text


def byte_characters() -> dict[str, int]:
    """GPT-2's alphabet: the printable Latin-1 characters stand for themselves, the other bytes for 256 and up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_CHARACTERS = byte_characters()


def decoding_of(decoder: dict[str, Any] | None) -> Decoding:
    """Read the `decoder` of a tokenizer.json.

    Raises:
        ModelError: a decoder of neither family.
    """
    steps = _steps(decoder)
    kinds = [step["type"] for step in steps]
    if "ByteLevel" in kinds:
        return Decoding(_from_byte_level, 0)
    replacements = [pair for step in steps for pair in _replacements(step)]
    if not replacements:
        raise ModelError(
            f"The tokenizer's decoder ({', '.join(kinds) or 'none'}) is not supported: no bytes of tokens."
        )
    return Decoding(_sentence_piece(replacements, "ByteFallback" in kinds), sum(map(_num_stripped, steps)))


def _steps(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    if decoder is None:
        return []
    return list(decoder["decoders"]) if decoder["type"] == "Sequence" else [decoder]


def _replacements(step: dict[str, Any]) -> Iterable[tuple[str, str]]:
    match step:
        case {"type": "Replace", "pattern": {"String": str(pattern)}, "content": str(content)}:
            yield pattern, content
        case {"type": "Metaspace", "replacement": str(replacement)}:
            yield replacement, " "


def _num_stripped(step: dict[str, Any]) -> int:
    match step:
        case {"type": "Strip", "content": " ", "start": int(start)}:
            return start
        case {"type": "Metaspace", "prepend_scheme": "never"} | {"type": "Metaspace", "add_prefix_space": False}:
            return 0
        case {"type": "Metaspace"}:
            return 1
    return 0


def _from_byte_level(token: str) -> bytes:
    """A token with any character outside the alphabet (an added one) stands for its own text."""
    try:
        return bytes(_BYTE_CHARACTERS[character] for character in token)
    except KeyError:
        return token.encode()


def _sentence_piece(replacements: list[tuple[str, str]], has_byte_tokens: bool) -> ToBytes:
    def to_bytes(token: str) -> bytes:
        match = _BYTE_TOKEN.fullmatch(token) if has_byte_tokens else None
        if match:
            return bytes([int(match[1], 16)])
        for pattern, content in replacements:
            token = token.replace(pattern, content)
        return token.encode()

    return to_bytes
