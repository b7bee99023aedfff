"""Constraints as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import MAX_NESTING, Constraint, nesting_of
from ensue.guided.vocabulary import Vocabulary


def test_equal_constraints_have_equal_digests() -> None:
    constraint = Constraint.of_schema({"a": 1, "b": 2})
    assert constraint.digest == Constraint.of_schema({"a": 1, "b": 2}).digest
    others = [
        Constraint.of_schema({"b": 2, "a": 1}),  # the order of properties is part of a schema
        Constraint.of_schema({"a": 1, "b": 2}, whitespace_pattern=""),
        Constraint("regex", constraint.text),
        replace(constraint, backend="xgrammar"),
    ]
    assert constraint.digest not in {other.digest for other in others}


def test_a_choice_given_twice_counts_once() -> None:
    assert Constraint.of_choices(("a", "b", "a")) == Constraint.of_choices(("a", "b"))


def test_nesting_is_bounded() -> None:
    schema: object = {}
    for _ in range(MAX_NESTING - 1):
        schema = {"not": schema}
    assert nesting_of(schema) == MAX_NESTING
    Constraint.of_schema(schema)
    with pytest.raises(InvalidGrammar, match="deeper than 64"):
        Constraint.of_schema({"not": schema})


def test_size_is_bounded() -> None:
    with pytest.raises(InvalidGrammar, match="at most 65536"):
        Constraint("grammar", "é" * 40_000)


def test_equal_vocabularies_have_equal_digests() -> None:
    tokens = (b"a", b"bc")
    assert Vocabulary(tokens).digest == Vocabulary((b"a", b"bc")).digest
    others = [Vocabulary((b"ab", b"c")), Vocabulary(tokens, frozenset({1})), Vocabulary((*tokens, b""))]
    assert Vocabulary(tokens).digest not in {other.digest for other in others}
