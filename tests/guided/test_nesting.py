"""How deep the parts of a constraint lie within one another."""

from __future__ import annotations

import pytest

from ensue.guided.constraint import Constraint
from ensue.guided.nesting import nesting_of

NESTED = [
    (Constraint.of_schema({}), 1),
    (Constraint.of_schema({"anyOf": [{"enum": [1]}, {}]}), 4),
    (Constraint.of_choices(("((((",)), 0),
    (Constraint("json_object", ""), 0),
    (Constraint("regex", ""), 0),
    (Constraint("regex", "(a)(b(c)d)|(e)"), 2),
    (Constraint("regex", r"\(\((a)\)\)"), 1),
    (Constraint("regex", "([()((])"), 1),
    (Constraint("regex", "[a[b[c]]]"), 3),
    (Constraint("regex", r"[](](a)[^](\](]"), 1),
    (Constraint("grammar", 'root ::= ("((" | ([(((] "b")) # ((('), 2),
    (Constraint("grammar", 'start: ["a" ("b" | ["c"])] /((a))/  // ((((('), 3),
]


@pytest.mark.parametrize(("constraint", "nesting"), NESTED, ids=[str(i) for i in range(len(NESTED))])
def test_nesting_counts_what_lies_within_each_other(constraint: Constraint, nesting: int) -> None:
    assert nesting_of(constraint) == nesting


def test_nesting_of_a_long_constraint_needs_no_stack() -> None:
    assert nesting_of(Constraint("regex", "(" * 4000 + ")" * 4000)) == 4000
    assert nesting_of(Constraint("grammar", "root ::= " + "(" * 9000 + '"a"' + ")" * 9000)) == 9000
