"""Context-free grammars: Lark's notation and GBNF, told apart by `::=`."""

from __future__ import annotations

from ensue.guided.gbnf import gbnf_to_lark
from ensue.guided.lark import check_lark


def to_lark(source: str) -> str:
    """The grammar as Lark text, checked.

    Raises:
        InvalidGrammar: with line and column.
    """
    if "::=" in source:
        return gbnf_to_lark(source)
    check_lark(source)
    return source
