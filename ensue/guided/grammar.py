"""Context-free grammars: Lark's notation and GBNF, told apart by `::=`."""

from __future__ import annotations

from ensue.guided import gbnf, lark
from ensue.guided.ebnf import Tokens


def to_lark(source: str) -> str:
    """The grammar as Lark text, checked.

    Raises:
        InvalidGrammar: with line and column.
    """
    if _is_gbnf(source):
        return gbnf.gbnf_to_lark(source)
    lark.check_lark(source)
    return lark.narrowed(source)


def nesting_of(source: str) -> int:
    """How many groups lie within each other.

    Raises:
        InvalidGrammar: with line and column, where something is no token.
    """
    return Tokens(source, gbnf.TOKENS if _is_gbnf(source) else lark.TOKENS).nesting


def _is_gbnf(source: str) -> bool:
    return "::=" in source
