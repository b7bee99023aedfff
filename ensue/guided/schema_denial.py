"""What holds of just the values that a schema does not accept: what `not`, `else` and overlapping branches ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.formats import DENIED, PATTERNS
from ensue.guided.look_ahead import denied_pattern
from ensue.guided.regex import avoiding
from ensue.guided.schema_part import (
    TYPES,
    Part,
    Path,
    Schema,
    any_of_these,
    both,
    lacking,
    names_of,
    object_of,
    refuse,
)
from ensue.guided.schema_scalars import inside, type_list
from ensue.guided.schema_values import check_value, is_number, is_plain_int, type_of

_MAX_DEPTH = 24
_MAX_CHARACTERS = 2000  # of strings that are to be avoided

Branch = Schema | bool | InvalidGrammar  # an error says why a denial can't be said
Denial = Callable[[Part, Any, Path], Iterable[Branch]]  # branches: the value fits one of them, or the keyword


def denied(part: Part, node: Any, path: Path) -> Schema | bool:
    """A schema, lowered, of values that `node` does not accept: of all of them where its keywords' denials can be said.

    A keyword whose denial can't be said is left out, which makes the result narrower. So are numbers that are not
    whole where a schema says "no integer".

    Raises:
        InvalidGrammar: malformed, or no value that it denies can be said.
    """
    found = _denied(part, node, path)
    if isinstance(found, InvalidGrammar):
        raise found
    return found


def denied_or_nothing(part: Part, node: Any, path: Path) -> Schema | bool:
    """The same; False where no value that it denies can be said."""
    found = _denied(part, node, path)
    return False if isinstance(found, InvalidGrammar) else found


def _denied(part: Part, node: Any, path: Path) -> Branch:
    part.lowering.denials_left -= 1
    if len(path) > _MAX_DEPTH or part.lowering.denials_left < 0:  # recursion through references, too
        return refuse(path[:1], "What is denied is nested too deep.")
    if isinstance(node, bool):
        return not node
    if not isinstance(node, dict):
        raise refuse(path, "A schema must be an object or a boolean.")
    node = part.lowering.visible(node)
    keywords = [k for k in node if k in part.lowering.keywords or k in ("then", "else")]
    return _any_sayable([branch for k in keywords for branch in _deny(part, k, node, (*path, k))])


def _deny(part: Part, keyword: str, node: Mapping[str, Any], path: Path) -> Iterable[Branch]:
    is_partial = (keyword == "items" and "prefixItems" in node) or (keyword == "contains" and "minContains" in node)
    if keyword not in _DENIALS or is_partial:
        return [refuse(path, f"The denial of {keyword} cannot be enforced.")]
    return _DENIALS[keyword](part, node[keyword], path)


def _any_sayable(branches: list[Branch]) -> Branch:
    """One of those branches that can be said; where none can, why the first can't."""
    sayable = [branch for branch in branches if not isinstance(branch, InvalidGrammar)]
    failures = [branch for branch in branches if isinstance(branch, InvalidGrammar)]
    if failures and all(branch is False for branch in sayable):
        return failures[0]
    return any_of_these(sayable)


def _type(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    types = type_list(value, path)
    left = [name for name in TYPES if name not in types and not (name == "integer" and "number" in types)]
    if "integer" in types and "number" in left:
        left.remove("number")  # numbers that are no integers can't be said
    return [{"type": left}] if left else []


def _required(_: Part, value: Any, path: Path) -> Iterable[Schema]:
    return [lacking(name) for name in names_of(value, path)]


def _properties(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    return [_property(part, name, node, path) for name, node in object_of(value, path).items()]


def _property(part: Part, name: str, node: Any, path: Path) -> Branch:
    other = _denied(part, node, (*path, name))
    if other is False or isinstance(other, InvalidGrammar):
        return other
    return {"type": ["object"], "properties": {name: other}, "required": [name]}


def _not(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    return [part.child(value, path)]


def _all_of(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    nodes = value if isinstance(value, list) else []
    return [_denied(part, node, (*path, i)) for i, node in enumerate(nodes)]


def _any_of(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    """Also of oneOf: what fits none fits not just one."""
    whole: Schema | bool = True
    for i, node in enumerate(value if isinstance(value, list) else []):
        other = _denied(part, node, (*path, i))
        if isinstance(other, InvalidGrammar):
            return [other]
        whole = both(whole, other)
    return [whole]


def _items(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    """Lists whose first item does not fit."""
    if isinstance(value, list):
        return _prefix_items(part, value, path)
    return [_item(part, 0, value, path)]


def _prefix_items(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    nodes = value if isinstance(value, list) else []
    return [_item(part, i, node, (*path, i)) for i, node in enumerate(nodes)]


def _item(part: Part, index: int, node: Any, path: Path) -> Branch:
    other = _denied(part, node, path)
    if other is False or isinstance(other, InvalidGrammar):
        return other
    return {"type": ["array"], "prefixItems": [*[True] * index, other], "minItems": index + 1}


def _contains(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    """Lists in which nothing fits."""
    other = _denied(part, value, path)
    return [other if isinstance(other, InvalidGrammar) else {"type": ["array"], "items": other}]


def _ref(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    """Said once of each; of what refers to itself, without the reference."""
    target, _ = part.lowering.resolve(value, path)
    known = part.lowering.denials
    if value not in known:
        known[value] = refuse(path[:1], "What is denied is nested too deep.")  # while it is looked at
        known[value] = _denied(part, target, path)
    return [known[value]]


def _pattern(_: Part, value: Any, path: Path) -> Iterable[Branch]:
    try:
        return [{"type": ["string"], "pattern": f"^{denied_pattern(str(value))}$"}]
    except InvalidGrammar:
        return [refuse(path, "The denial of this pattern cannot be enforced.")]


def _format(_: Part, value: Any, path: Path) -> Iterable[Branch]:
    value = str(value)
    if value in DENIED:
        return [{"type": ["string"], "pattern": DENIED[value]}]
    return [refuse(path, "The denial of this format cannot be enforced.")] if value in PATTERNS else []


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


def _const(part: Part, value: Any, path: Path) -> Iterable[Branch]:
    return _enum(part, [value], path)


def _enum(_: Part, value: Any, path: Path) -> Iterable[Branch]:
    """Values of other types, and of the same types what lies beside and between."""
    values = [check_value(item, None) for item in value] if isinstance(value, list) else []
    types = {type_of(item) for item in values}
    if not values or types & {"array", "object"}:
        yield refuse(path, "Lists and objects cannot be denied.")
        return
    has_numbers = bool(types & {"integer", "number"})
    left = [name for name in TYPES if name not in types and not (has_numbers and name in ("integer", "number"))]
    yield {"type": left}
    if has_numbers:
        yield from _numbers_beside(sorted({item for item in values if is_number(item)}))
    if "string" in types:
        yield _other_than([v for v in values if isinstance(v, str)], path)
    if "boolean" in types:
        yield from ({"enum": [flag]} for flag in (True, False) if not any(flag is item for item in values))


def _numbers_beside(values: list[float]) -> Iterable[Schema]:
    yield {"type": ["number"], "maximum": inside(values[0], "maximum")}
    for low, high in pairwise(values):
        yield {"type": ["number"], "minimum": inside(low, "minimum"), "maximum": inside(high, "maximum")}
    yield {"type": ["number"], "minimum": inside(values[-1], "minimum")}


def _other_than(words: list[str], path: Path) -> Branch:
    if sum(map(len, words)) > _MAX_CHARACTERS:
        return refuse(path, f"Strings that are denied may have {_MAX_CHARACTERS} characters together.")
    return {"type": ["string"], "pattern": f"^{avoiding(words)}$"}


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
    "format": _format,
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
