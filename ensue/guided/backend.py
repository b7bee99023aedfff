"""What a library must do for guided decoding: compile a constraint, then say which tokens may come next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ensue.guided.constraint import Constraint
from ensue.request import CompiledGrammar


class Matcher(Protocol):
    """Follows one text through a constraint. End tokens are never given to it."""

    def bitmask(self) -> bytes:
        """The tokens that may come next: bit (id mod 8) of byte (id div 8); never special or end tokens.

        Raises:
            GenerationFailed: the constraint became too complex at this place.
        """

    def accept(self, token_id: int) -> None:
        """Go on by a token of the mask.

        Raises:
            GenerationFailed: the token may not stand here, or the constraint became too complex.
        """

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far satisfies the constraint."""

    def fork(self) -> Matcher:
        """The same place, for a text that goes on in another way."""


class Backend(Protocol):
    """One library over one vocabulary."""

    def compile(self, constraint: Constraint) -> CompiledGrammar:
        """Check a constraint and bring it into the form that `load` takes.

        Raises:
            InvalidGrammar: malformed, impossible or beyond the library; `param` names the place within the constraint.
        """

    def load(self, grammar: CompiledGrammar) -> Matcher:
        """A matcher at the start of a text.

        Raises:
            InvalidGrammar: the library refuses the grammar.
        """


@dataclass(frozen=True, slots=True)
class Strictness:
    """How much work a grammar may cost; the prover allows less than the worker, so that what is proved also runs."""

    max_items_in_row: int
    initial_fuel: int
    step_fuel: int
    step_max_items: int
    max_lexer_states: int
    step_cpu_s: float  # of a library that counts no fuel


# A step's fuel is spent in the step loop: 400,000 are some 30 ms at the very worst.
WORKER = Strictness(20_000, 4_000_000, 400_000, 100_000, 60_000, 0.25)
PROVER = Strictness(10_000, 2_000_000, 200_000, 50_000, 30_000, 0.1)
