"""Proves a constraint: compiles it and rehearses its masks on random walks. Costs what the constraint makes it cost."""

from __future__ import annotations

import random

from ensue.errors import GenerationFailed, InvalidGrammar
from ensue.guided.backend import Matcher
from ensue.guided.backends import Backends
from ensue.guided.constraint import Constraint
from ensue.guided.nesting import nesting_of
from ensue.request import CompiledGrammar

NUM_WALKS = 3
MAX_STEPS = 48


def prove(constraint: Constraint, backends: Backends, max_nesting: int) -> CompiledGrammar:
    """
    Raises:
        InvalidGrammar: malformed, nested too deep, impossible, or too complex to follow.
    """
    if (nesting := nesting_of(constraint)) > max_nesting:
        raise InvalidGrammar(f"The constraint is nested {nesting} levels deep; at most {max_nesting} are allowed.")
    backend = backends.get(constraint.backend)
    grammar = backend.compile(constraint)
    matcher = backend.load(grammar)
    try:
        for walk in range(NUM_WALKS):
            rehearse(matcher.fork(), random.Random(walk))  # noqa: S311 - noise, no secret
    except GenerationFailed as error:
        raise InvalidGrammar(f"The constraint is too complex to follow: {error.message}") from None
    return grammar


def rehearse(matcher: Matcher, noise: random.Random) -> None:
    """Follow one random text for some steps.

    Raises:
        InvalidGrammar: no text of this vocabulary can even begin.
        GenerationFailed: from the matcher.
    """
    for step in range(MAX_STEPS):
        mask = matcher.bitmask()
        if not any(mask):
            if step == 0 and not matcher.is_accepting:
                raise InvalidGrammar("No text satisfies the constraint.")
            return
        matcher.accept(_any_of(mask, noise))


def _any_of(mask: bytes, noise: random.Random) -> int:
    """An id whose bit is set."""
    start = noise.randrange(len(mask))
    place: int = next(i for i in (*range(start, len(mask)), *range(start)) if mask[i])
    bits = [bit for bit in range(8) if mask[place] >> bit & 1]
    return 8 * place + bits[noise.randrange(len(bits))]
