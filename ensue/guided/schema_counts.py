"""`minProperties` and `maxProperties`: which of the listed properties may stand together.

A grammar can't count optional properties, so they are taken in groups of neighbours: narrower than the keywords.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import comb
from typing import Any

from ensue.guided.schema_part import TYPES, Part, Path, Schema, any_of_these, count_of, is_closed, refuse

_MAX_GROUPS, _MAX_FRUGAL_GROUPS = 48, 4
_NOT_OBJECTS: Schema = {"type": [name for name in TYPES if name != "object"]}


def lower_min_properties(part: Part, value: Any, path: Path) -> None:
    """Names that aren't listed may come twice, so only listed ones are counted, unless one is enough."""
    least = count_of(value, path)
    required, optional = _required(part), _optional(part)
    num_more = least - len(required)
    if num_more <= 0:
        return
    if num_more == 1 and not optional and not required:
        part.out["minProperties"] = least
        return
    if num_more > len(optional):
        raise refuse(path, "minProperties can be enforced only up to the number of listed properties, or 1.")
    groups = _groups(part, optional, num_more)
    part.others.append(any_of_these([_NOT_OBJECTS, *({"required": [*required, *group]} for group in groups)]))


def lower_max_properties(part: Part, value: Any, path: Path) -> None:
    """Beside optional properties that are listed, those that aren't listed are left out."""
    most = count_of(value, path)
    required, optional = _required(part), _optional(part)
    if is_closed(part.node) and len({*required, *optional}) <= most:
        return
    if not optional:
        part.out["maxProperties"] = most
        return
    if most < len(required):
        part.others.append(_NOT_OBJECTS)
        return
    groups = _groups(part, optional, min(most - len(required), len(optional)))
    part.others.append(any_of_these([_with_only({*required, *group}, {*required, *optional}) for group in groups]))


def _with_only(names: set[str], known: set[str]) -> Schema:
    return {"properties": {name: name in names for name in sorted(known)}, "additionalProperties": False}


def _required(part: Part) -> list[str]:
    names = part.node.get("required", [])
    return list(dict.fromkeys(names)) if isinstance(names, list) else []


def _optional(part: Part) -> list[str]:
    """Listed properties that may be there or not."""
    required = set(_required(part))
    properties = part.node.get("properties", {})
    return [name for name, node in properties.items() if node is not False and name not in required]


def _groups(part: Part, names: list[str], size: int) -> Iterable[tuple[str, ...]]:
    """All groups of that size; only some of those of neighbours, where there would be too many."""
    most = _MAX_FRUGAL_GROUPS if part.lowering.is_frugal else _MAX_GROUPS
    if comb(len(names), size) <= most:
        return combinations(names, size)
    num_starts = len(names) - size + 1
    starts = range(0, num_starts, -(-num_starts // most))
    return [tuple(names[start : start + size]) for start in starts]
