"""Lowered schemas: of the keywords that hold schemas, those few that are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

_MAPS = ("properties", "patternProperties", "$defs")
_LISTS = ("allOf", "anyOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def with_inner(node: Schema, change: Callable[[Any], Any]) -> dict[str, Any]:
    """The same schema with each schema right within it changed."""
    out = dict(node)
    for keyword in _MAPS:
        if keyword in node:
            out[keyword] = {name: change(inner) for name, inner in node[keyword].items()}
    for keyword in _LISTS:
        if keyword in node:
            out[keyword] = [change(inner) for inner in node[keyword]]
    for keyword in _SINGLE:
        if keyword in node:
            out[keyword] = change(node[keyword])
    return out
