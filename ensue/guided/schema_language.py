"""A lowered schema as rules of characters, for libraries whose own reading of schemas ignores what it can't enforce."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import compact_json
from ensue.guided.json_numbers import integers, numbers
from ensue.guided.json_strings import other_than, quoted, text_of
from ensue.guided.pattern import (
    ANY,
    EMPTY,
    NOTHING,
    Call,
    Pattern,
    Rules,
    alt,
    literal,
    optional,
    repeat,
    seq,
    within,
)
from ensue.guided.rust_regex import anywhere
from ensue.guided.schema_fits import fits, matches
from ensue.guided.schema_part import TYPES, Schema
from ensue.guided.schema_plain import alternatives, both

MAX_RULES = 5_000
MAX_MULTIPLES = 2_000
_SPACE = optional(literal(" "))
_ANY_TEXT = repeat(ANY, 0, None)


@dataclass(frozen=True, slots=True)
class Spacing:
    """White space behind separators, and between other tokens."""

    behind_separators: Pattern = _SPACE
    elsewhere: Pattern = EMPTY


def rules_of(schema: Schema, spacing: Spacing, *, is_regular: bool) -> Rules:
    """
    Args:
        schema: lowered.
        is_regular: nothing may refer to itself: values without a schema hold no lists and objects, and objects
            that name properties have no others.

    Raises:
        InvalidGrammar: a keyword can't be expressed.
    """
    builder = _Builder(schema, spacing, is_regular=is_regular)
    root = builder.call(schema)
    return Rules(builder.patterns, root.name).pruned()


class _Builder:
    def __init__(self, root: Schema, spacing: Spacing, *, is_regular: bool) -> None:
        self.patterns: dict[str, Pattern] = {}
        self._definitions = root.get("$defs", {})
        self._spacing = spacing
        self._is_regular = is_regular

    def call(self, schema: Schema | bool) -> Call:
        """The rule of a schema; equal ones share one."""
        name = "schema " + compact_json(schema)
        if name not in self.patterns:
            self._put(name, NOTHING)  # in case it calls itself
            self.patterns[name] = self._value(schema)
        return Call(name)

    def _put(self, name: str, pattern: Pattern) -> Call:
        if len(self.patterns) >= MAX_RULES:
            raise InvalidGrammar(f"The schema needs more than {MAX_RULES} rules.")
        self.patterns[name] = pattern
        return Call(name)

    def _value(self, schema: Schema | bool) -> Pattern:
        if schema in (True, {}):
            return self._anything()
        return alt(part for plain in alternatives(schema, self._definitions) for part in self._plain(plain))

    def _anything(self) -> Pattern:
        types = [name for name in TYPES if name not in ("array", "object")] if self._is_regular else TYPES
        return alt(self._typed(name, {}) for name in types if name != "integer")

    def _plain(self, schema: Schema) -> Iterator[Pattern]:
        if "enum" in schema:
            yield from (text_of(value) for value in schema["enum"] if fits(value, schema))
            return
        types = schema.get("type", TYPES)
        for name in types:
            if not (name == "integer" and "number" in types):
                yield self._typed(name, schema)

    def _typed(self, name: str, schema: Schema) -> Pattern:
        match name:
            case "null":
                return literal("null")
            case "boolean":
                return alt([literal("true"), literal("false")])
            case "integer":
                return _integer(schema)
            case "number":
                return _number(schema)
            case "string":
                return quoted(_text(schema))
            case "array":
                return self._array(schema)
        return self._object(schema)

    def _array(self, schema: Schema) -> Pattern:
        prefix = [self.call(item) for item in schema.get("prefixItems", ())]
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        prefix = prefix[:most]
        rest = self.call(schema.get("items", True)) if most is None or most > len(prefix) else NOTHING
        inner = _listed(prefix, rest, self._separator(","), least, most)
        return self._bracketed("[", inner, "]", can_be_empty=least == 0)

    def _object(self, schema: Schema) -> Pattern:
        members, others = self._members(schema)
        num_required = sum(member.is_required for member in members)
        least = max(0, schema.get("minProperties", 0) - num_required)
        most = schema.get("maxProperties")
        if least > 1:
            raise InvalidGrammar("minProperties above 1 can be enforced only up to the number of required properties.")
        if most is not None:
            if num_required < len(members) and most < len(members):
                raise InvalidGrammar("maxProperties can be enforced only where every property is required.")
            most = most - len(members)
            if most < 0:
                return NOTHING
        inner = self._member_list(members, others, least, most)
        return self._bracketed("{", inner, "}", can_be_empty=least + num_required == 0)

    def _members(self, schema: Schema) -> tuple[list[_Member], Pattern]:
        """The properties that are named, and the pattern of any other one."""
        named, required = schema.get("properties", {}), schema.get("required", [])
        patterns = schema.get("patternProperties", {})
        rest = schema.get("additionalProperties", True)
        if len(patterns) > 1:
            raise InvalidGrammar("More than one of patternProperties cannot be enforced by this backend.")
        regexes = [(anywhere(regex), node) for regex, node in patterns.items()]
        members = []
        for name in [*named, *(name for name in required if name not in named)]:
            matching = [node for regex, node in regexes if matches(regex, name)]
            value = named.get(name, True if matching else rest)
            for node in matching:
                value = both(value, node)
            if value is False and name not in required:
                continue
            members.append(_Member(self._member(text_of(name), value), name in required))
        known = list(dict.fromkeys([*named, *required]))
        return members, self._others(known, regexes, rest, has_members=bool(members))

    def _others(
        self, known: list[str], regexes: list[tuple[Pattern, Any]], rest: Schema | bool, *, has_members: bool
    ) -> Pattern:
        """Where a pattern tells which names are meant, others are left out."""
        if regexes:
            regex, node = regexes[0]
            is_apart = not any(matches(regex, name) for name in known)
            return self._member(quoted(regex), node) if is_apart else NOTHING
        if rest is False or (self._is_regular and has_members):
            return NOTHING
        return self._member(quoted(other_than(known) if known else _ANY_TEXT), rest)

    def _member(self, name: Pattern, value: Schema | bool) -> Pattern:
        return seq([name, self._spacing.elsewhere, self._separator(":"), self.call(value)])

    def _separator(self, mark: str) -> Pattern:
        before = self._spacing.elsewhere if mark == "," else EMPTY
        return seq([before, literal(mark), self._spacing.behind_separators])

    def _bracketed(self, opening: str, inner: Pattern, closing: str, *, can_be_empty: bool) -> Pattern:
        """
        Args:
            inner: what stands between the brackets, if there is anything.
        """
        space = self._spacing.elsewhere
        full = seq([literal(opening), space, inner, space, literal(closing)])
        return alt([full, seq([literal(opening), space, literal(closing)])]) if can_be_empty else full

    def _member_list(self, members: Sequence[_Member], others: Pattern, least: int, most: int | None) -> Pattern:
        """Members in their order, then others."""
        comma = self._separator(",")
        tail = repeat(seq([comma, others]), least, most)
        heads = [_one_or_more(others, comma, max(least, 1), most)]
        for member in reversed(members):
            behind = self._shared(tail)
            head = seq([member.pattern, behind])
            heads = [head] if member.is_required else [head, *heads]
            with_comma = seq([comma, member.pattern])
            tail = seq([with_comma if member.is_required else optional(with_comma), behind])
        return alt(heads)

    def _shared(self, pattern: Pattern) -> Pattern:
        """A rule of its own for what stands in several places."""
        if pattern in (EMPTY, NOTHING):
            return pattern
        return self._put(f"tail {len(self.patterns)}", pattern)


@dataclass(frozen=True, slots=True)
class _Member:
    """One named property: its name, a colon and its value."""

    pattern: Pattern
    is_required: bool


def _one_or_more(item: Pattern, comma: Pattern, least: int, most: int | None) -> Pattern:
    if most == 0:
        return NOTHING
    return seq([item, repeat(seq([comma, item]), least - 1, None if most is None else most - 1)])


def _listed(prefix: Sequence[Pattern], rest: Pattern, comma: Pattern, least: int, most: int | None) -> Pattern:
    """Items with commas between them; at least one."""
    if not prefix:
        return _one_or_more(rest, comma, max(least, 1), most)
    more = None if most is None else most - len(prefix)
    inner = repeat(seq([comma, rest]), max(0, least - len(prefix)), more)
    for i in reversed(range(len(prefix))):
        inner = seq([*[comma] * (i > 0), prefix[i], inner])
        inner = optional(inner) if i >= max(least, 1) else inner
    return inner


def _integer(schema: Schema) -> Pattern:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        above = int(schema["exclusiveMinimum"] // 1) + 1
        low = above if low is None else max(low, above)
    if "exclusiveMaximum" in schema:
        below = -int(-schema["exclusiveMaximum"] // 1) - 1
        high = below if high is None else min(high, below)
    step = Fraction(schema.get("multipleOf", 1)).numerator  # whole multiples of 5/2 are those of 5
    return integers(low, high) if step == 1 else _multiples(step, low, high)


def _multiples(step: int, low: float | None, high: float | None) -> Pattern:
    if low is not None and high is not None and (high - low) / step < MAX_MULTIPLES:
        first, last = -int(-low // step), int(high // step)
        return alt(literal(str(i * step)) for i in range(first, last + 1))
    size = next((size for size in (1, 2, 3) if 10**size % step == 0), None)
    if size is None or low is not None or high is not None:
        raise InvalidGrammar(
            f"multipleOf can be enforced by this backend only for divisors of 1000, or with minimum and maximum and "
            f"at most {MAX_MULTIPLES} values between them."
        )
    endings = range(0, 10**size, step)
    long = seq([integers(1, None), alt(literal(f"{ending:0{size}}") for ending in endings)])
    short = alt(literal(str(ending)) for ending in endings if ending)
    return alt([literal("0"), seq([optional(literal("-")), alt([short, long])])])


def _number(schema: Schema) -> Pattern:
    for keyword in ("exclusiveMinimum", "exclusiveMaximum"):
        if keyword in schema:
            raise InvalidGrammar(f"{keyword} can be enforced by this backend only for integers.")
    step, low, high = schema.get("multipleOf"), schema.get("minimum"), schema.get("maximum")
    if step is None:
        return numbers(low, high)
    if not (1 / step).is_integer() or low is not None or high is not None:
        raise InvalidGrammar("multipleOf can be enforced by this backend beside whole numbers for 1/2, 1/4 … alone.")
    fractions = alt(literal(str(i * step)[1:]) for i in range(1, int(1 / step)))
    return seq([optional(literal("-")), integers(0, None), optional(fractions)])


def _text(schema: Schema) -> Pattern:
    """Characters of a string, before they are spelled in JSON."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    patterns = [anywhere(regex) for regex in schema.get("pattern", ())]
    if not patterns:
        return repeat(ANY, least, most)
    if len(patterns) > 1:
        raise InvalidGrammar("More than one pattern, or a pattern beside a format, cannot be enforced by this backend.")
    found = within(patterns[0], least, most)
    if found is None:
        raise InvalidGrammar("minLength and maxLength cannot be enforced by this backend beside this pattern.")
    return found
