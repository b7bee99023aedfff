"""Keywords on arrays."""

from __future__ import annotations

from typing import Any

from ensue.guided.schema_part import COMBINING, Part, Path, refuse, schemas_of


def lower_items(part: Part, value: Any, path: Path) -> None:
    if isinstance(value, list):  # before 2020-12
        part.out["prefixItems"] = [part.child(node, (*path, i)) for i, node in enumerate(value)]
    else:
        part.out["items"] = part.child(value, path)


def lower_prefix_items(part: Part, value: Any, path: Path) -> None:
    part.out["prefixItems"] = schemas_of(part, value, path)


def lower_additional_items(part: Part, value: Any, path: Path) -> None:
    if isinstance(part.node.get("items"), list):
        part.out["items"] = part.child(value, path)


def lower_unevaluated_items(part: Part, value: Any, path: Path) -> None:
    if value is True or value == {} or ("items" in part.node and not isinstance(part.node["items"], list)):
        return
    if any(keyword in part.node for keyword in (*COMBINING, "contains")):
        raise refuse(path, "unevaluatedItems cannot be enforced beside keywords that combine schemas.")
    part.out["items"] = part.child(value, path)


def lower_contains(part: Part, _: Any, path: Path) -> None:
    if part.node.get("minContains") == 0 and "maxContains" not in part.node:
        return
    raise refuse(path, "The keyword contains cannot be enforced.")


def lower_unique_items(part: Part, value: Any, path: Path) -> None:
    most = part.node.get("maxItems")
    if value and not (isinstance(most, int) and most <= 1):
        raise refuse(path, "uniqueItems can be enforced only with maxItems of at most 1.")
