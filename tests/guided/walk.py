"""A model of noise: walks through a constraint by choosing any token that the masks allow."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from pathlib import Path

import ensue.tiny
from ensue.guided.backend import PROVER, Backend, Matcher
from ensue.guided.backends import Backends
from ensue.guided.constraint import DEFAULT_BACKEND, BackendName, Constraint
from ensue.guided.vocabulary import Vocabulary
from ensue.text.tokenizer import Tokenizer


@functools.cache
def vocabulary() -> Vocabulary:
    """That of the bundled model."""
    tokenizer = Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)
    tokens = tuple(map(tokenizer.token_bytes, range(tokenizer.vocab_size)))
    return Vocabulary(tokens, tokenizer.special_token_ids)


@functools.cache
def backend(name: BackendName = DEFAULT_BACKEND) -> Backend:
    return Backends(vocabulary(), PROVER).get(name)


def start_of(constraint: Constraint) -> Matcher:
    """A matcher of the constraint's own backend, at the start of a text."""
    library = backend(constraint.backend)
    return library.load(library.compile(constraint))


def allowed(matcher: Matcher) -> list[int]:
    return list(_ids(matcher.bitmask()))


def _ids(bitmask: bytes) -> Iterator[int]:
    for i, byte in enumerate(bitmask):
        for bit in range(8):
            if byte >> bit & 1:
                yield 8 * i + bit


def accepts(constraint: Constraint, text: str) -> bool:
    """Whether masks allow this text, written in any tokens, and its end."""
    matcher = start_of(constraint)
    data = text.encode()
    while data:
        fitting = [i for i in allowed(matcher) if data.startswith(vocabulary().tokens[i])]
        if not fitting:
            return False
        token_id = min(fitting, key=lambda i: len(vocabulary().tokens[i]))  # byte by byte, where that is possible
        matcher.accept(token_id)
        data = data[len(vocabulary().tokens[token_id]) :]
    return matcher.is_accepting


def walk(constraint: Constraint, seed: int = 0, max_tokens: int = 120) -> str | None:
    """The text of a finished walk; None where it had to be cut. Ends wherever it may, one time in three."""
    return walk_on(start_of(constraint), random.Random(seed), max_tokens)


def walk_on(matcher: Matcher, noise: random.Random, max_tokens: int) -> str | None:
    text = b""
    for _ in range(max_tokens):
        ids = allowed(matcher)
        if matcher.is_accepting and (not ids or noise.random() < 1 / 3):
            return text.decode()
        if not ids:
            return None
        token_id = _choose(ids, noise)
        matcher.accept(token_id)
        text += vocabulary().tokens[token_id]
    return None


def _choose(ids: list[int], noise: random.Random) -> int:
    """Half of the time one that is not made of letters: quotes and brackets would be rare else, and texts endless."""
    marks = [i for i in ids if not vocabulary().tokens[i].strip().isalpha()]
    return noise.choice(marks if marks and noise.random() < 1 / 2 else ids)
