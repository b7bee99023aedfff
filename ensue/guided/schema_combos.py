"""Keywords that combine schemas: references, allOf, anyOf, oneOf, not, if."""

from __future__ import annotations

from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.one_of import overlaps
from ensue.guided.schema_denial import denied
from ensue.guided.schema_part import Part, Path, any_of_these, both, refuse, schemas_of


def lower_ref(part: Part, value: Any, path: Path) -> None:
    part.out["$ref"] = f"#/$defs/{part.lowering.reference(value, path)}"


def lower_all_of(part: Part, value: Any, path: Path) -> None:
    part.others.extend(schemas_of(part, value, path))


def lower_any_of(part: Part, value: Any, path: Path) -> None:
    part.others.append(any_of_these(schemas_of(part, value, path)))


def lower_one_of(part: Part, value: Any, path: Path) -> None:
    """anyOf, of branches that have no value in common: where they might, each denies the other."""
    branches = schemas_of(part, value, path)
    for i, j in overlaps(value, part.node, lambda reference: part.lowering.resolve(reference, path)[0]):
        try:
            branches[i], branches[j] = (
                both(branches[i], denied(part, value[j], (*path, j))),
                both(branches[j], denied(part, value[i], (*path, i))),
            )
        except InvalidGrammar:
            raise refuse(
                path,
                f"oneOf can be enforced only where no value fits two branches; branches {i} and {j} are not told apart "
                "by type, by a const or enum, or by a required property. Use anyOf where that is meant.",
            ) from None
    part.others.append(any_of_these(branches))


def lower_not(part: Part, value: Any, path: Path) -> None:
    part.others.append(denied(part, value, path))


def lower_if(part: Part, value: Any, path: Path) -> None:
    """Without then and else it says nothing."""
    then, otherwise = part.node.get("then", True), part.node.get("else", True)
    if then in (True, {}) and otherwise in (True, {}):
        return
    fits = both(part.child(value, path), part.child(then, (*part.path, "then")))
    fits_not = both(denied(part, value, path), part.child(otherwise, (*part.path, "else")))
    part.others.append(any_of_these([fits, fits_not]))
