"""One schema on its way to its lowered form, and the helpers that all keywords share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ensue.errors import InvalidGrammar
from ensue.guided.schema_values import is_plain_int

Schema = dict[str, Any]
Path = tuple[str | int, ...]

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
# What may hold more than one schema says of a value:
COMBINING = ("allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas", "dependencies", "not")
_MAX_COUNT = 2**31 - 1


class Lowering(Protocol):
    """The whole schema's rewriting, as single keywords see it."""

    keywords: frozenset[str]  # that say something of a value

    def schema(self, node: Any, path: Path) -> Schema | bool:
        """Lower one schema."""

    def reference(self, reference: str, path: Path) -> str:
        """The name in $defs of what a reference points to."""

    def resolve(self, reference: Any, path: Path) -> tuple[Any, Path]:
        """The schema that a reference names, and its place."""


@dataclass
class Part:
    """One schema on its way: the original, and what has come out of it."""

    lowering: Lowering
    node: Mapping[str, Any]
    path: Path
    out: Schema = field(default_factory=dict)
    others: list[Schema | bool] = field(default_factory=list)  # hold besides

    def child(self, node: Any, path: Path) -> Schema | bool:
        return self.lowering.schema(node, path)

    def result(self) -> Schema | bool:
        others = [other for other in self.others if other is not True and other != {}]
        if False in others:
            return False
        if len(others) == 1 and not self.out:
            return others[0]
        return {**self.out, "allOf": others} if others else self.out


Lower = Callable[[Part, Any, Path], None]  # (part, value, path of the keyword)


def place(path: Path) -> str | None:
    """A path as errors name it; None for the whole schema."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or None


def refuse(path: Path, message: str) -> InvalidGrammar:
    return InvalidGrammar(message, param=place(path))


def any_of_these(branches: list[Schema | bool]) -> Schema | bool:
    possible = [branch for branch in branches if branch is not False]
    if True in possible or {} in possible:
        return True
    return {"anyOf": possible} if possible else False


def both(one: Schema | bool, other: Schema | bool) -> Schema | bool:
    if False in (one, other):
        return False
    parts = [part for part in (one, other) if part is not True and part != {}]
    return {"allOf": parts} if len(parts) == 2 else parts[0] if parts else True


def schemas_of(part: Part, value: Any, path: Path) -> list[Schema | bool]:
    if not isinstance(value, list) or not value:
        raise refuse(path, "A list of at least one schema is needed.")
    return [part.child(node, (*path, i)) for i, node in enumerate(value)]


def without(name: str) -> Schema:
    """Anything but an object with this property."""
    return {"properties": {name: False}}


def lacking(name: str) -> Schema:
    """An object without this property."""
    return {"type": ["object"], **without(name)}


def object_of(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refuse(path, f"{path[-1]} must be an object.")
    return value


def names_of(value: Any, path: Path) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise refuse(path, "A list of names is needed.")
    return value


def count_of(value: Any, path: Path) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not is_plain_int(value) or not 0 <= value <= _MAX_COUNT:
        raise refuse(path, f"{path[-1]} must be a whole number from 0 to {_MAX_COUNT}.")
    return int(value)


def keep_count(part: Part, value: Any, path: Path) -> None:
    """A keyword that is a count, and stays as it is."""
    part.out[str(path[-1])] = count_of(value, path)
