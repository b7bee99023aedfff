"""What a compiled grammar of a library that is not built in holds: its own bytes, and the same in llguidance's words.

The latter say where a stop string may end a text: that is asked of characters, where the library knows tokens only.
"""

from __future__ import annotations

import hashlib

from ensue.errors import InvalidGrammar
from ensue.guided.llguidance import NAME as BUILT_IN
from ensue.request import CompiledGrammar

MAX_BYTES = 64 * 2**20
_LENGTH_BYTES = 4


def packed(backend: str, built_in_source: str, data: bytes) -> CompiledGrammar:
    """
    Raises:
        InvalidGrammar: too much to send to a worker.
    """
    if len(data) > MAX_BYTES:
        raise InvalidGrammar(f"The constraint takes more than {MAX_BYTES} bytes when {backend} compiles it.")
    source = built_in_source.encode()
    payload = len(source).to_bytes(_LENGTH_BYTES, "little") + source + data
    digest = hashlib.blake2b(payload, digest_size=16, person=backend.encode()).digest()
    return CompiledGrammar(backend, payload, digest)


def data_of(grammar: CompiledGrammar) -> bytes:
    """The library's own bytes."""
    return grammar.payload[_LENGTH_BYTES + _source_length(grammar) :]


def built_in_form(grammar: CompiledGrammar) -> CompiledGrammar:
    """The same grammar for the built-in backend, over any vocabulary."""
    if grammar.backend == BUILT_IN:
        return grammar
    source = grammar.payload[_LENGTH_BYTES : _LENGTH_BYTES + _source_length(grammar)]
    return CompiledGrammar(BUILT_IN, source, grammar.digest)


def _source_length(grammar: CompiledGrammar) -> int:
    return int.from_bytes(grammar.payload[:_LENGTH_BYTES], "little")
