"""Keywords that combine schemas: references, allOf, anyOf, oneOf, not, if."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ensue.guided.constraint import compact_json
from ensue.guided.one_of import overlaps
from ensue.guided.schema_denial import denied, denied_or_nothing
from ensue.guided.schema_part import Part, Path, Schema, any_of_these, both, lacking, refuse, schemas_of

_NUM_PLAIN = 2  # alternatives of a denial, in frugal schemas


def lower_ref(part: Part, value: Any, path: Path) -> None:
    part.out["$ref"] = f"#/$defs/{part.lowering.reference(value, path)}"


def lower_dynamic_ref(part: Part, value: Any, path: Path) -> None:
    part.lowering.check_dynamic(value, path)
    part.others.append({"$ref": f"#/$defs/{part.lowering.reference(value, path)}"})


def lower_all_of(part: Part, value: Any, path: Path) -> None:
    part.others.extend(schemas_of(part, value, path))


def lower_any_of(part: Part, value: Any, path: Path) -> None:
    part.others.append(any_of_these(schemas_of(part, value, path)))


def lower_one_of(part: Part, value: Any, path: Path) -> None:
    """anyOf, of branches that have no value in common: where they might, each denies the other.

    Of two branches whose denial can't be said, neither is left; of the one that can be denied, the other is.
    """
    branches = schemas_of(part, value, path)
    denials: dict[int, Schema | bool] = {}
    lowering = part.lowering
    for i, j in overlaps(value, part.node, lambda ref: lowering.resolve(ref, path)[0], lowering.visible):
        for one, other in ((i, j), (j, i)):
            if other not in denials:
                denials[other] = denied_or_nothing(part, value[other], (*path, other))
            denial = _plainest(denials[other], value[one]) if lowering.is_frugal else denials[other]
            branches[one] = both(branches[one], denial)
    if denials and all(branch is False for branch in branches):
        raise refuse(
            path,
            f"oneOf can be enforced only where no value fits two branches; branches {min(denials)} and {max(denials)} "
            "are not told apart by type, by a const or enum, or by a required property. Use anyOf where that is meant.",
        )
    part.others.append(any_of_these(branches))


def lower_not(part: Part, value: Any, path: Path) -> None:
    part.others.append(denied(part, value, path))


def lower_if(part: Part, value: Any, path: Path) -> None:
    """Without then and else it says nothing."""
    then, otherwise = part.node.get("then", True), part.node.get("else", True)
    if then in (True, {}) and otherwise in (True, {}):
        return
    fits = both(part.child(value, path), part.child(then, (*part.path, "then")))
    denial = denied_or_nothing(part, value, path)
    if (
        part.lowering.is_frugal
    ):  # what is asked about is there, so that the answers to many questions exclude each other
        fits, denial = both(fits, {"required": list(_asked(value))}), _plainest(denial, value)
    fits_not = both(denial, part.child(otherwise, (*part.path, "else")))
    if fits is False and fits_not is False:
        denied(part, value, path)  # says why, where that is the reason
    part.others.append(any_of_these([fits, fits_not]))


def _asked(condition: Any) -> Iterator[str]:
    """The properties that a condition compares with values."""
    properties = condition.get("properties") if isinstance(condition, dict) else None
    for name, node in (properties if isinstance(properties, dict) else {}).items():
        if isinstance(node, dict) and node.keys() & {"const", "enum"}:
            yield name


def _plainest(denial: Schema | bool, node: Any) -> Schema | bool:
    """The shortest of a denial's alternatives that may hold of what a schema accepts."""
    if isinstance(denial, bool) or denial.keys() != {"anyOf"} or not isinstance(node, dict):
        return denial
    names, types = node.get("required"), node.get("type")
    impossible = [lacking(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    possible = [b for b in denial["anyOf"] if b not in impossible]
    if isinstance(types, str):
        possible = [b for b in possible if types in b.get("type", [types])] or possible
    return any_of_these(sorted(possible, key=lambda branch: len(compact_json(branch)))[:_NUM_PLAIN])
