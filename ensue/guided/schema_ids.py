"""Schemas within a schema that have names of their own: references by or within them, as pointers from the root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urldefrag, urljoin

Path = tuple[str | int, ...]

_IN_VALUE = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
)
_IN_LIST = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_IN_MAP = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties", "contentSchema")


def with_pointers(root: Any, *, id_keyword: str, is_old: bool) -> Any:
    """The same schema, in which references of and to inner resources are pointers from the root.

    Args:
        id_keyword: what names a resource, `$id` or `id`.
        is_old: of a draft in which a `$ref` hides the name beside it.
    """
    found = _Resources(id_keyword, is_old)
    found.read(root, (), "")
    return found.rewritten(root, "") if any(found.paths.values()) else root


@dataclass
class _Resources:
    id_keyword: str
    is_old: bool
    paths: dict[str, Path] = field(default_factory=lambda: {"": ()})  # by URI
    anchors: dict[tuple[str, str], Path] = field(default_factory=dict)

    def read(self, node: Any, path: Path, base: str) -> None:
        if not isinstance(node, dict):
            return
        base = self._base(node, base)
        self.paths.setdefault(base, path)
        for name in _anchors(node, self.id_keyword):
            self.anchors.setdefault((base, name), path)
        for steps, child in _children(node):
            self.read(child, (*path, *steps), base)

    def rewritten(self, node: Any, base: str) -> Any:
        if not isinstance(node, dict):
            return node
        base = self._base(node, base)
        out = dict(node)
        for (keyword, *steps), child in _children(node):
            changed = self.rewritten(child, base)
            if steps:
                out[keyword] = node[keyword].copy() if out[keyword] is node[keyword] else out[keyword]
                out[keyword][steps[0]] = changed
            else:
                out[keyword] = changed
        if isinstance(node.get("$ref"), str):
            out["$ref"] = self._pointer(node["$ref"], base)
        return out

    def _base(self, node: Mapping[str, Any], base: str) -> str:
        name = node.get(self.id_keyword)
        is_hidden = self.is_old and ("$ref" in node or (isinstance(name, str) and name.startswith("#")))
        return urljoin(base, name.rstrip("#")) if isinstance(name, str) and not is_hidden else base

    def _pointer(self, reference: str, base: str) -> str:
        """From the root; a reference that leads nowhere stays one that does, and says where."""
        joined = base + reference if reference.startswith("#") else urljoin(base, reference)
        uri, fragment = urldefrag(joined)
        if uri not in self.paths:
            return joined
        if not fragment or fragment.startswith("/"):
            return _spelled(self.paths[uri]) + fragment
        place = self.anchors.get((uri, fragment))
        return joined if place is None else _spelled(place)


def _anchors(node: Mapping[str, Any], id_keyword: str) -> Iterator[str]:
    names = (node.get("$anchor"), node.get("$dynamicAnchor"))
    yield from (name for name in names if isinstance(name, str))
    name = node.get(id_keyword)
    if isinstance(name, str) and name.startswith("#"):
        yield name[1:]


def _children(node: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Schemas within a schema, with the steps to them."""
    for keyword, value in node.items():
        if keyword in _IN_MAP and isinstance(value, dict):
            yield from (((keyword, name), child) for name, child in value.items())
        elif keyword in _IN_LIST and isinstance(value, list):
            yield from (((keyword, i), child) for i, child in enumerate(value))
        elif keyword in (*_IN_VALUE, *_UNEVALUATED):
            yield (keyword,), value


def _spelled(path: Path) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "#" + "".join(f"/{quote(step, safe='~')}" for step in steps)
