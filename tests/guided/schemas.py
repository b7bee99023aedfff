"""Random JSON schemas, for property tests."""

from __future__ import annotations

import random
from typing import Any

Json = Any
FORMATS = ["date", "time", "date-time", "uuid", "email", "ipv4", "ipv6", "uri", "duration", "hostname", "int32"]
PATTERNS = ["^a+$", "b$", "^[a-c]{2,4}$", r"\d", r"^\w+$", r"^\S+$", r"^[^\s]+$", r"^\D\W$", "x|y", "^.{3}$"]
PATTERNS += [
    '^[^"]*$',
    r'^[^"\\]{1,3}$',
    "^[^ -~]{2}$",
    r'^(?:[^"\\]|\\.)*$',
    r"^[^\x00-\x20]+$",
    r'^\\?"',
    "^[ -~]{1,3}$",
]
PATTERNS += ["^(?!a).*$", "^(?=.{2})a", "^(?![b-z])", r"^(?!.*\.\.)[a.]+$", "^(?!ab$|b$)[ab]+$"]
NAMES = ["a", "b", "c", "a/b", "x y", "é"]
NUMBERS = [0, 1, -1, 2, 3, 5, 10, 0.5, 2.5, -0.5, 100, 1.25, -7, 0.1, 1000]
VALUES: list[Json] = [1, 2, "a", "b", "é", None, True, False, 0.5, [1], {"a": 1}, 'x"y', [], {}, "a\nb", -3]
LEAVES: list[Json] = [{"type": "integer"}, {"type": "string", "maxLength": 3}, {"type": "boolean"}, {"type": "null"}]
NAME_PATTERNS = ["^a", "^z", "b$", r"^\w+$", "^.*$", r"^\d", "^(?!a$)", "^(?!b).*$"]
CONDITIONS: list[Json] = [
    {"required": ["a"]},
    {"properties": {"a": {"const": 1}}, "required": ["a"]},
    {"properties": {"a": {"const": 1}}},
    {"type": "string"},
    {"type": ["integer", "null"]},
    {"anyOf": [{"type": "string"}, {"required": ["b"]}]},
    {"type": "array", "contains": {"const": 1}},
    {"items": {"type": "integer"}},
    {"pattern": "^a"},
    {"type": "string", "pattern": "b"},
    {"type": "string", "pattern": r"^\w+b?-$"},
    {"properties": {"a": {"type": "string", "pattern": "^ab$"}}, "required": ["a"], "uniqueItems": True},
]


def random_schema(noise: random.Random) -> Json:
    """A schema with two definitions, `x` and the recursive `y`."""
    node = {"type": "object", "properties": {"n": {"$ref": "#/$defs/y"}, "v": {"type": "integer"}}, "required": ["v"]}
    schema = _Schemas(noise).schema(0)
    return {**schema, "$defs": {"x": _Schemas(noise).schema(2), "y": node}} if isinstance(schema, dict) else schema


class _Schemas:
    def __init__(self, noise: random.Random) -> None:
        self._noise = noise

    def schema(self, depth: int) -> Json:
        noise = self._noise
        if depth > 3 or noise.random() < 0.12:
            return noise.choice([*LEAVES, {"const": noise.choice(VALUES)}, {"enum": noise.sample(VALUES, 2)}])
        if noise.random() < 0.03:
            return noise.random() < 0.7
        kind = noise.choice(["string", "number", "object", "object", "array", "combined", "any"])
        schema: dict[str, Json] = {}
        if kind != "combined" and noise.random() < 0.9:
            schema["type"] = self._type(kind)
        for name in {"any": ("string", "number", "object"), "combined": ()}.get(kind, (kind,)):
            schema |= {"string": self._string, "number": self._number, "object": self._object, "array": self._array}[
                name
            ](depth)
        if noise.random() < (1 if kind == "combined" else 0.12):
            schema |= self._combined(depth)
        if noise.random() < 0.05:
            schema["$ref"] = noise.choice(["#/$defs/x", "#/$defs/y", "#"])
        return schema

    def _type(self, kind: str) -> Json:
        if kind == "any":
            return self._noise.sample(["string", "integer", "null", "object", "boolean", "number"], 2)
        return self._noise.choice(["integer", "number"]) if kind == "number" else kind

    def _some(self, *keywords: tuple[float, str, Json]) -> dict[str, Json]:
        return {name: value for share, name, value in keywords if self._noise.random() < share}

    def _string(self, _: int) -> dict[str, Json]:
        noise = self._noise
        return self._some(
            (0.3, "minLength", noise.randint(0, 3)),
            (0.5, "maxLength", noise.randint(0, 6)),
            (0.3, "pattern", noise.choice(PATTERNS)),
            (0.2, "format", noise.choice(FORMATS)),
        )

    def _number(self, _: int) -> dict[str, Json]:
        bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        steps = (0.15, "multipleOf", self._noise.choice([1, 2, 3, 7, 0.5, 0.25, 10, 2.0, 0.1, 0.01, 0.3]))
        return self._some(*[(0.25, bound, self._noise.choice(NUMBERS)) for bound in bounds], steps)

    def _object(self, depth: int) -> dict[str, Json]:
        noise = self._noise
        names = noise.sample(NAMES, noise.randint(0, 3))
        others: list[Json] = [False, False, True, {"type": "integer"}, {"type": "string", "maxLength": 2}]
        return self._some(
            (0.9, "properties", {name: self.schema(depth + 1) for name in names}),
            (0.6, "required", [name for name in names if noise.random() < 0.6]),
            (0.6, "additionalProperties", noise.choice(others)),
            (0.1, "patternProperties", {noise.choice(NAME_PATTERNS): self.schema(depth + 1)}),
            (0.1, "minProperties", noise.randint(0, 3)),
            (0.1, "maxProperties", noise.randint(0, 3)),
            (0.05, "dependentRequired", {noise.choice(NAMES): [noise.choice(NAMES)]}),
            (0.08, "propertyNames", self._names()),
            (0.05, "unevaluatedProperties", noise.choice([False, {"type": "integer"}])),
        )

    def _names(self) -> Json:
        noise = self._noise
        return noise.choice(
            [
                {"pattern": noise.choice(PATTERNS)},
                {"enum": noise.sample(NAMES, 2)},
                {"maxLength": 2},
                {"anyOf": [{"const": "a"}, {"pattern": "^b"}]},
                {"format": "date"},
            ]
        )

    def _array(self, depth: int) -> dict[str, Json]:
        noise = self._noise
        return self._some(
            (0.8, "items", self.schema(depth + 1) if noise.random() < 0.7 else noise.choice(LEAVES)),
            (0.3, "prefixItems", [self.schema(depth + 1) for _ in range(noise.randint(1, 2))]),
            (0.4, "minItems", noise.randint(0, 3)),
            (0.5, "maxItems", noise.randint(0, 4)),
            (0.2, "uniqueItems", noise.random() < 0.7),
            (0.1, "contains", self.schema(depth + 1)),
            (0.05, "minContains", noise.randint(0, 2)),
            (0.05, "maxContains", noise.randint(0, 2)),
            (0.05, "unevaluatedItems", False),
        )

    def _combined(self, depth: int) -> dict[str, Json]:
        noise = self._noise
        keyword = noise.choice(["anyOf", "oneOf", "allOf", "not", "if"])
        if keyword == "not":
            return {"not": noise.choice(CONDITIONS)}
        if keyword == "if":
            return {"if": noise.choice(CONDITIONS), "then": self.schema(depth + 2), "else": self.schema(depth + 2)}
        return {keyword: [self.schema(depth + 1) for _ in range(noise.randint(1, 3))]}
