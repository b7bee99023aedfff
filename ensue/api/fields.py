"""Kinds of request fields: each checks a JSON value strictly and describes itself in JSON Schema.

Strictly: "5" is no number, true is no number, but 16.0 is an integer. A message says what is allowed and repeats
nothing of what was given. Knows no particular field.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Protocol, TypeVar, cast

from ensue.errors import InvalidRequest

T = TypeVar("T")
INT64 = (-(2**63), 2**63 - 1)
Schema = dict[str, Any]


class Kind(Protocol):
    """What a field's value may be."""

    @property
    def schema(self) -> Schema: ...

    def parse(self, value: Any, path: str) -> Any:
        """The checked value; raises InvalidRequest with the path as `param`."""


@dataclass(frozen=True, slots=True)
class Text:
    max_length: int | None = None
    pattern: str | None = None  # that describes what the caller checks

    @property
    def schema(self) -> Schema:
        length = {} if self.max_length is None else {"maxLength": self.max_length}
        return {"type": "string", **length, **({} if self.pattern is None else {"pattern": self.pattern})}

    def parse(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise _wrong(path, "a text")
        if self.max_length is not None and len(value) > self.max_length:
            raise _wrong(path, f"at most {self.max_length} characters long")
        return value


@dataclass(frozen=True, slots=True)
class Boolean:
    schema: ClassVar[Schema] = {"type": "boolean"}

    def parse(self, value: Any, path: str) -> bool:
        if not isinstance(value, bool):
            raise _wrong(path, "true or false")
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    low: int = INT64[0]
    high: int = INT64[1]

    @property
    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def parse(self, value: Any, path: str) -> int:
        number = as_int(value)
        if number is None:
            raise _wrong(path, "a whole number")
        if not self.low <= number <= self.high:
            raise _wrong(path, self._range())
        return number

    def _range(self) -> str:
        if self.high == INT64[1]:
            return "a 64-bit number" if self.low == INT64[0] else f"at least {self.low} and below 2^63"
        return f"between {self.low} and {self.high}"


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, in a range where there is one."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def schema(self) -> Schema:
        bounds = {"minimum": self.low, "maximum": self.high}
        return {"type": "number"} | {name: bound for name, bound in bounds.items() if math.isfinite(bound)}

    def parse(self, value: Any, path: str) -> float:
        number = _finite(value, path)
        if not self.low <= number <= self.high:
            raise _wrong(path, f"between {self.low:g} and {self.high:g}")
        return number


@dataclass(frozen=True, slots=True)
class Positive:
    """A finite number above zero."""

    schema: ClassVar[Schema] = {"type": "number", "exclusiveMinimum": 0}

    def parse(self, value: Any, path: str) -> float:
        number = _finite(value, path)
        if number <= 0:
            raise _wrong(path, "a number above 0")
        return number


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.words)}

    def parse(self, value: Any, path: str) -> str:
        if value not in self.words:
            raise _wrong(path, f"one of {', '.join(self.words)}")
        return str(value)


@dataclass(frozen=True, slots=True)
class BooleanOr:
    """true, false or a word."""

    word: str

    @property
    def schema(self) -> Schema:
        return {"anyOf": [Boolean.schema, {"const": self.word}]}

    def parse(self, value: Any, path: str) -> bool | str:
        if not isinstance(value, bool) and value != self.word:
            raise _wrong(path, f'true, false or "{self.word}"')
        return value  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Kind

    @property
    def schema(self) -> Schema:
        return {"type": "array", "items": self.item.schema}

    def parse(self, value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(path, "a list")
        return tuple(self.item.parse(item, f"{path}[{index}]") for index, item in enumerate(value))


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """A value by itself or a list of them; always parsed to a tuple."""

    item: Kind

    @property
    def schema(self) -> Schema:
        return {"anyOf": [self.item.schema, ListOf(self.item).schema]}

    def parse(self, value: Any, path: str) -> tuple[Any, ...]:
        return ListOf(self.item).parse(value, path) if isinstance(value, list) else (self.item.parse(value, path),)


@dataclass(frozen=True, slots=True)
class Flags:
    """An object of booleans."""

    names: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        return object_schema(dict.fromkeys(self.names, Boolean.schema))

    def parse(self, value: Any, path: str) -> frozenset[str]:
        """The names that are true; others than `names` are the caller's to judge."""
        if not isinstance(value, dict):
            raise _wrong(path, "an object")
        given = {name: value[name] for name in self.names if value.get(name) is not None}
        return frozenset(name for name, flag in given.items() if Boolean().parse(flag, f"{path}.{name}"))


def or_null(schema: Schema) -> Schema:
    """The same, where null stands for the default."""
    match schema:
        case {"anyOf": choices}:
            return schema | {"anyOf": [*choices, {"type": "null"}]}
        case {"type": str(kind)}:
            words = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
            return schema | {"type": [kind, "null"]} | words
    return {"anyOf": [schema, {"type": "null"}]}


def object_schema(
    properties: Mapping[str, Schema], required: Sequence[str] = (), *, has_null_others: bool = False
) -> Schema:
    """An object that has no other properties; null is as good as absent, but for those that are required.

    Args:
        has_null_others: properties that nobody knows may be null, too.
    """
    described = {name: schema if name in required else or_null(schema) for name, schema in properties.items()}
    return {
        "type": "object",
        "properties": described,
        "required": list(required),
        "additionalProperties": {"type": "null"} if has_null_others else False,
    }


def as_int(value: Any) -> int | None:
    """The whole number that a JSON number stands for; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _finite(value: Any, path: str) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float):
        number = _as_float(value)
        if math.isfinite(number):
            return number
    raise _wrong(path, "a number")


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _wrong(path: str, allowed: str) -> InvalidRequest:
    return InvalidRequest(f"{path} must be {allowed}.", param=path)


# ---- bodies: dataclasses whose fields carry their kind


def param(kind: Kind, default: Any, help: str, *, neutral: tuple[Any, ...] = ()) -> Any:  # noqa: A002
    """A field of a body; null and absent are the default.

    Args:
        neutral: values that ask for nothing else than the default does.
    """
    return field(default=default, metadata={"kind": kind, "help": help, "neutral": neutral})


def declared(body: type[Any]) -> Mapping[str, Field[Any]]:
    """The fields of a body by their names."""
    return _declared(cast(Hashable, body))


@functools.cache
def _declared(body: Any) -> Mapping[str, Field[Any]]:
    return {f.name: f for f in fields(body)}


def parse_body(body: type[T], raw: Mapping[str, Any]) -> T:
    """Read the fields of a body; names that it doesn't have are the caller's to judge.

    Raises:
        InvalidRequest: a bad value.
    """
    known = declared(body)
    given = ((name, value) for name, value in raw.items() if value is not None and name in known)
    return body(**{name: known[name].metadata["kind"].parse(value, name) for name, value in given})


def asks_for_nothing(value: Any, neutral: Collection[Any]) -> bool:
    """Whether a value is one of the neutral ones; 1 and true are different values here."""
    return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in neutral)


def is_set(body: Any, name: str) -> bool:
    """Whether a field of a body asks for something else than its default."""
    own, value = declared(type(body))[name], getattr(body, name)
    return value is not own.default and not asks_for_nothing(value, (own.default, *own.metadata["neutral"]))
