"""What holds of just the values that a schema does not accept: what `not`, `else` and overlapping branches ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.look_ahead import denied_pattern
from ensue.guided.regex import avoiding
from ensue.guided.schema_part import (
    TYPES,
    Part,
    Path,
    Schema,
    Undeniable,
    any_of_these,
    both,
    lacking,
    names_of,
    object_of,
    place,
    refuse,
)
from ensue.guided.schema_scalars import inside, type_list
from ensue.guided.schema_values import check_value, is_number, is_plain_int, type_of

_MAX_DEPTH = 24
_MAX_CHARACTERS = 2000  # of strings that are to be avoided

Denial = Callable[[Part, Any, Path], Iterable[Schema | bool]]  # branches: the value fits one of them, or the keyword


def denied(part: Part, node: Any, path: Path) -> Schema | bool:
    """A schema, lowered, of values that `node` does not accept: of all of them where its keywords' denials can be said.

    A keyword whose denial can't be said is left out, which makes the result narrower. So are numbers that are not
    whole where a schema says "no integer".

    Raises:
        Undeniable: no value that it denies can be said.
        InvalidGrammar: malformed.
    """
    part.lowering.denials_left -= 1
    if len(path) > _MAX_DEPTH or part.lowering.denials_left < 0:  # recursion through references, too
        raise _undeniable(path[:1], "What is denied is nested too deep.")
    if isinstance(node, bool):
        return not node
    if not isinstance(node, dict):
        raise refuse(path, "A schema must be an object or a boolean.")
    node = part.lowering.visible(node)
    keywords = [k for k in node if k in part.lowering.keywords or k in ("then", "else")]
    return any_of_these(_sayable([partial(_deny, part, k, node, (*path, k)) for k in keywords]))


def denied_or_nothing(part: Part, node: Any, path: Path) -> Schema | bool:
    """The same; False where no value that it denies can be said."""
    try:
        return denied(part, node, path)
    except Undeniable:
        return False


def _deny(part: Part, keyword: str, node: Mapping[str, Any], path: Path) -> list[Schema | bool]:
    is_partial = (keyword == "items" and "prefixItems" in node) or (keyword == "contains" and "minContains" in node)
    if keyword not in _DENIALS or is_partial:
        raise _undeniable(path, f"The denial of {keyword} cannot be enforced.")
    return list(_DENIALS[keyword](part, node[keyword], path))


def _sayable(denials: Iterable[Callable[[], Iterable[Schema | bool]]]) -> list[Schema | bool]:
    """The branches of those denials that can be said.

    Raises:
        Undeniable: of the first, where none can.
    """
    branches: list[Schema | bool] = []
    failures = []
    for denial in denials:
        try:
            branches += denial()
        except Undeniable as error:
            failures.append(error)
    if failures and all(branch is False for branch in branches):
        raise failures[0]
    return branches


def _undeniable(path: Path, message: str) -> Undeniable:
    return Undeniable(message, param=place(path))


def _type(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    types = type_list(value, path)
    left = [name for name in TYPES if name not in types and not (name == "integer" and "number" in types)]
    if "integer" in types and "number" in left:
        left.remove("number")  # numbers that are no integers can't be said
    return [{"type": left}] if left else []


def _required(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    return [lacking(name) for name in names_of(value, path)]


def _properties(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    return _sayable([partial(_property, part, name, node, path) for name, node in object_of(value, path).items()])


def _property(part: Part, name: str, node: Any, path: Path) -> list[Schema | bool]:
    other = denied(part, node, (*path, name))
    return [] if other is False else [{"type": ["object"], "properties": {name: other}, "required": [name]}]


def _not(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    return [part.child(value, path)]


def _all_of(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    nodes = value if isinstance(value, list) else []
    return _sayable([partial(_part, part, node, (*path, i)) for i, node in enumerate(nodes)])


def _part(part: Part, node: Any, path: Path) -> list[Schema | bool]:
    return [denied(part, node, path)]


def _any_of(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    """Also of oneOf: what fits none fits not just one."""
    whole: Schema | bool = True
    for i, node in enumerate(value if isinstance(value, list) else []):
        whole = both(whole, denied(part, node, (*path, i)))
    return [whole]


def _items(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    """Lists whose first item does not fit."""
    if isinstance(value, list):
        return _prefix_items(part, value, path)
    return _item(part, 0, value, path)


def _prefix_items(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    nodes = value if isinstance(value, list) else []
    return _sayable([partial(_item, part, i, node, (*path, i)) for i, node in enumerate(nodes)])


def _item(part: Part, index: int, node: Any, path: Path) -> list[Schema | bool]:
    other = denied(part, node, path)
    if other is False:
        return []
    return [{"type": ["array"], "prefixItems": [*[True] * index, other], "minItems": index + 1}]


def _contains(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    """Lists in which nothing fits."""
    return [{"type": ["array"], "items": denied(part, value, path)}]


def _ref(part: Part, value: Any, path: Path) -> Iterable[Schema | bool]:
    return [denied(part, part.lowering.resolve(value, path)[0], path)]


def _pattern(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    try:
        return [{"type": ["string"], "pattern": f"^{denied_pattern(str(value))}$"}]
    except InvalidGrammar:
        raise _undeniable(path, "The denial of this pattern cannot be enforced.") from None


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
        raise _undeniable(path, "Lists and objects cannot be denied.")
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
    if sum(map(len, words)) > _MAX_CHARACTERS:
        raise _undeniable(path, f"Strings that are denied may have {_MAX_CHARACTERS} characters together.")
    return avoiding(words)


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
    "pattern": _pattern,
    "minLength": _least("string", "maxLength"),
    "maxLength": _most("string", "minLength"),
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "minItems": _least("array", "maxItems"),
    "maxItems": _most("array", "minItems"),
    "not": _not,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _any_of,
    "$ref": _ref,
}
