"""Finds what a `$ref` points to, within the schema alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from ensue.errors import InvalidGrammar

Path = tuple[str | int, ...]


def find_target(root: Any, reference: Any) -> tuple[Any, Path]:
    """The schema that a reference names, and its place.

    Raises:
        InvalidGrammar: it points out of the schema, or to nothing.
    """
    if not isinstance(reference, str):
        raise InvalidGrammar("$ref must be a string.")
    base, _, fragment = reference.partition("#")
    if base and base != _own_name(root):
        raise InvalidGrammar("$ref must point into the schema itself (#/…); nothing is ever fetched.")
    if not fragment:
        return root, ()
    if not fragment.startswith("/"):
        return _anchor(root, fragment)
    return _walk(root, fragment)


def find_dynamic_target(root: Any, reference: Any) -> tuple[Any, Path]:
    """What a `$dynamicRef` or `$recursiveRef` names whatever the way there: of one resource, with one such anchor.

    Raises:
        InvalidGrammar: it depends on the way, or see `find_target`.
    """
    nodes = [node for node, _ in _nodes(root, ())]
    anchors = [node for node in nodes if isinstance(reference, str) and f"#{node.get('$dynamicAnchor')}" == reference]
    if len(anchors) > 1 or any(isinstance(node.get("$id"), str) for node in nodes if node is not root):
        raise InvalidGrammar("What the reference means depends on the way to it, which cannot be enforced.")
    return find_target(root, reference)


def _own_name(root: Any) -> str | None:
    name = root.get("$id", root.get("id")) if isinstance(root, dict) else None
    return name.rstrip("#") if isinstance(name, str) else None


def _walk(root: Any, pointer: str) -> tuple[Any, Path]:
    node: Any = root
    path: Path = ()
    for part in pointer.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node, path = node[key], (*path, key)
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node, path = node[int(key)], (*path, int(key))
        else:
            raise InvalidGrammar("$ref points to a place that the schema does not have.")
    return node, path


def _anchor(root: Any, name: str) -> tuple[Any, Path]:
    for node, path in _nodes(root, ()):
        if name in (node.get("$anchor"), node.get("$dynamicAnchor")) or f"#{name}" in (node.get("$id"), node.get("id")):
            return node, path
    raise InvalidGrammar("$ref names an anchor that the schema does not have.")


def _nodes(node: Any, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    if isinstance(node, dict):
        yield node, path
        for key, child in node.items():
            yield from _nodes(child, (*path, key))
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from _nodes(child, (*path, i))
