"""One schema on its way to its lowered form, and the helpers that all keywords share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

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
    is_old: bool  # of a draft before 2019-09
    is_frugal: bool  # fewer alternatives, where all of them would be too many for a library
    is_joining: bool  # one patternProperties in the place of several
    denials: dict[str, Schema | bool | InvalidGrammar]  # of references, where they can be said
    denials_left: int  # so that schemas that deny one another through references stay within bounds

    def schema(self, node: Any, path: Path) -> Schema | bool:
        """Lower one schema."""

    def visible(self, node: Any) -> Any:
        """The keywords of a schema that say something to every reader: in old drafts, a `$ref` hides its neighbours."""

    def reference(self, reference: str, path: Path) -> str:
        """The name in $defs of what a reference points to."""

    def check_dynamic(self, reference: Any, path: Path) -> None:
        """Refuse a reference whose meaning depends on the way to it."""

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
    replacement: Schema = field(default_factory=dict)  # of keywords that others have taken over
    replaced: set[str] = field(default_factory=set)

    def child(self, node: Any, path: Path) -> Schema | bool:
        return self.lowering.schema(node, path)

    def result(self) -> Schema | bool:
        self.out = {k: v for k, v in self.out.items() if k not in self.replaced} | self.replacement
        others: list[Schema] = []
        for other in _flat(self.others):
            if isinstance(other, bool):
                return False
            if other.keys() <= _MERGEABLE and not other.keys() & self.out.keys():
                self.out |= other
            elif other not in others:
                others.append(other)
        if len(others) == 1 and not self.out:
            return others[0]
        return {**self.out, "allOf": others} if others else self.out


# Mean the same wherever they stand: no other keyword changes what they say.
_MERGEABLE = {"type", "enum", "pattern", "minimum", "maximum", "required", "minLength", "maxLength", "anyOf"}


def _flat(schemas: Iterable[Schema | bool]) -> Iterator[Schema | Literal[False]]:
    """What all of these say: parts of an allOf one by one, without those that say nothing."""
    for schema in schemas:
        if schema is False:
            yield False
        elif schema is not True and schema.keys() == {"allOf"}:
            yield from _flat(schema["allOf"])
        elif schema is not True and schema:
            yield schema


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
    if len(possible) < 2:
        return possible[0] if possible else False
    return {"anyOf": possible}


def both(one: Schema | bool, other: Schema | bool) -> Schema | bool:
    parts: list[Schema] = []
    for part in _flat([one, other]):
        if isinstance(part, bool):
            return False
        parts.append(part)
    return {"allOf": parts} if len(parts) > 1 else parts[0] if parts else True


def schemas_of(part: Part, value: Any, path: Path) -> list[Schema | bool]:
    if not isinstance(value, list) or not value:
        raise refuse(path, "A list of at least one schema is needed.")
    return [part.child(node, (*path, i)) for i, node in enumerate(value)]


def is_closed(node: Mapping[str, Any]) -> bool:
    """Whether an object has nothing but the properties listed."""
    return node.get("additionalProperties", True) is False and not node.get("patternProperties")


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
