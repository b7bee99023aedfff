"""What holds of just the values that a schema does not accept: what `not`, `else` and overlapping branches ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from ensue.guided.regex import escape
from ensue.guided.schema_part import TYPES, Part, Path, Schema, any_of_these, both, lacking, names_of, object_of, refuse
from ensue.guided.schema_scalars import inside, type_list
from ensue.guided.schema_values import check_value, is_number, is_plain_int, type_of

_MAX_DEPTH = 24
_MAX_CHARACTERS = 2000  # of strings that are to be avoided
_MORE = r"(?s:.)*"

Denial = Callable[[Part, Any, Path], Iterable[Schema | bool]]  # branches: the value fits one of them, or the keyword


def denied(part: Part, node: Any, path: Path) -> Schema | bool:
    """The denial of a schema, lowered. Non-integers are left out where it says "no integer".

    Raises:
        InvalidGrammar: it has a keyword whose denial can't be enforced.
    """
    if len(path) > _MAX_DEPTH:  # recursion through references, too
        raise refuse(path[:1], "What is denied is nested too deep.")
    if isinstance(node, bool):
        return not node
    if not isinstance(node, dict):
        raise refuse(path, "A schema must be an object or a boolean.")
    branches: list[Schema | bool] = []
    for keyword, value in node.items():
        if keyword in _DENIALS:
            branches += _DENIALS[keyword](part, value, (*path, keyword))
        elif keyword in part.lowering.keywords or keyword in ("then", "else"):
            raise refuse((*path, keyword), f"The denial of {keyword} cannot be enforced.")
    return any_of_these(branches)


def _type(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    types = type_list(value, path)
    left = [name for name in TYPES if name not in types and not (name == "integer" and "number" in types)]
    if "integer" in types and "number" in left:
        left.remove("number")  # numbers that are no integers can't be said
    return [{"type": left}] if left else []


def _required(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    return [lacking(name) for name in names_of(value, path)]


def _properties(part: Part, value: Any, path: Path) -> Iterable[Schema]:
    for name, node in object_of(value, path).items():
        other = denied(part, node, (*path, name))
        if other is not False:
            yield {"type": ["object"], "properties": {name: other}, "required": [name]}


def _not(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    return [part.child(value, path)]


def _all_of(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    return [denied(part, node, (*path, i)) for i, node in enumerate(value)] if isinstance(value, list) else []


def _any_of(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    whole: Schema | bool = True
    for other in _all_of(part, value, path):
        whole = both(whole, other)
    return [whole]


def _ref(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    return [denied(part, part.lowering.resolve(value, path)[0], path)]


def _minimum(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    return [{"type": ["number"], "maximum": inside(_number(value, path), "maximum")}]


def _maximum(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    return [{"type": ["number"], "minimum": inside(_number(value, path), "minimum")}]


def _least(kind: str, opposite: str) -> Denial:
    def deny(_: Part, value: Any, path: Path) -> Iterable[Schema]:
        return [{"type": [kind], opposite: _whole(value, path) - 1}] if value else []

    return deny


def _most(kind: str, opposite: str) -> Denial:
    def deny(_: Part, value: Any, path: Path) -> Iterable[Schema]:
        return [{"type": [kind], opposite: _whole(value, path) + 1}]

    return deny


def _const(part: Part, value: Any, path: Path) -> Iterable[Schema]:
    return _enum(part, [value], path)


def _enum(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    """Values of other types, and of the same types what lies beside and between."""
    values = [check_value(item, None) for item in value] if isinstance(value, list) else []
    types = {type_of(item) for item in values}
    if not values or types & {"array", "object"}:
        raise refuse(path, "Lists and objects cannot be denied.")
    has_numbers = bool(types & {"integer", "number"})
    left = [name for name in TYPES if name not in types and not (has_numbers and name in ("integer", "number"))]
    yield {"type": left}
    if has_numbers:
        yield from _numbers_beside(sorted({item for item in values if is_number(item)}))
    if "string" in types:
        yield {"type": ["string"], "pattern": f"^{_other_than([v for v in values if isinstance(v, str)], path)}$"}
    if "boolean" in types:
        yield from ({"enum": [flag]} for flag in (True, False) if not any(flag is item for item in values))


def _numbers_beside(values: list[float]) -> Iterable[Schema]:
    yield {"type": ["number"], "maximum": inside(values[0], "maximum")}
    for low, high in pairwise(values):
        yield {"type": ["number"], "minimum": inside(low, "minimum"), "maximum": inside(high, "maximum")}
    yield {"type": ["number"], "minimum": inside(values[-1], "minimum")}


def _other_than(words: list[str], path: Path) -> str:
    """A regex for every text but these."""
    if sum(map(len, words)) > _MAX_CHARACTERS:
        raise refuse(path, f"Strings that are denied may have {_MAX_CHARACTERS} characters together.")
    tails: dict[str, list[str]] = {}
    for word in words:
        if word:
            tails.setdefault(word[0], []).append(word[1:])
    firsts = "".join(map(escape, tails))
    parts = [f"[^{firsts}]{_MORE}" if firsts else f"(?s:.){_MORE}"]
    parts += [escape(first) + _other_than(rest, path) for first, rest in tails.items()]
    parts += [] if "" in words else [""]
    return f"(?:{'|'.join(parts)})"


def _number(value: Any, path: Path) -> float:
    if not is_number(value):
        raise refuse(path, f"{path[-1]} must be a number.")
    return float(value)


def _whole(value: Any, path: Path) -> int:
    if not is_plain_int(value) or value < 0:
        raise refuse(path, f"{path[-1]} must be a whole number.")
    return int(value)


_DENIALS: dict[str, Denial] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    "required": _required,
    "properties": _properties,
    "minimum": _minimum,
    "maximum": _maximum,
    "minLength": _least("string", "maxLength"),
    "maxLength": _most("string", "minLength"),
    "minItems": _least("array", "maxItems"),
    "maxItems": _most("array", "minItems"),
    "not": _not,
    "allOf": _all_of,
    "anyOf": _any_of,
    "$ref": _ref,
}
