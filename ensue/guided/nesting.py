"""How deep the parts of a constraint lie within one another, found without recursion."""

from __future__ import annotations

import json

from ensue.guided import constraint as values
from ensue.guided import grammar, regex
from ensue.guided.constraint import Constraint


def nesting_of(constraint: Constraint) -> int:
    """Of lists and objects in a schema, groups and classes in a regex, groups in a grammar; 0 for anything else.

    Raises:
        InvalidGrammar: a grammar holds what is no part of its notation.
    """
    if constraint.kind == "json":
        return values.nesting_of(json.loads(constraint.text))
    if constraint.kind == "regex":
        return regex.nesting_of(constraint.text)
    return grammar.nesting_of(constraint.text) if constraint.kind == "grammar" else 0
