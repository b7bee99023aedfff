"""Keywords on arrays."""

from __future__ import annotations

from typing import Any

from ensue.guided.schema_denial import denied
from ensue.guided.schema_part import COMBINING, Part, Path, Schema, count_of, refuse, schemas_of

_MAX_CONTAINED = 64


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


def lower_contains(part: Part, value: Any, path: Path) -> None:
    """The first items are those that fit; where their number is bounded, no later item fits."""
    least, most = _contained(part)
    if least > _MAX_CONTAINED or (most or 0) > _MAX_CONTAINED:
        raise refuse(path, f"contains can be enforced for at most {_MAX_CONTAINED} items.")
    first: list[Schema | bool] = [part.child(value, path)] * least
    if most is not None:
        free: list[Schema | bool] = [True] * (most - least)
        items = {"prefixItems": [*first, *free], "items": denied(part, value, path)}
        part.others.append({**items, "minItems": least} if first or free else {**items, "prefixItems": []})
    elif least:
        part.others.append({"prefixItems": first, "minItems": least})


def _contained(part: Part) -> tuple[int, int | None]:
    node = part.node
    least = count_of(node.get("minContains", 1), (*part.path, "minContains"))
    most = count_of(node["maxContains"], (*part.path, "maxContains")) if "maxContains" in node else None
    if part.lowering.is_old:  # some readers know no minContains there
        least = max(1, least)
    if most is not None and most < least:
        raise refuse((*part.path, "maxContains"), "maxContains is below minContains.")
    return least, most
