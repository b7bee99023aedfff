"""Keywords on any value, on strings and on numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.ecma_regex import to_rust
from ensue.guided.formats import PATTERNS
from ensue.guided.schema_part import TYPES, Part, Path, place, refuse
from ensue.guided.schema_values import check_value, is_number

_MAX_BOUND = 10**15  # beyond it, doubles and decimals part ways


def lower_type(part: Part, value: Any, path: Path) -> None:
    part.out["type"] = type_list(value, path)


def type_list(value: Any, path: Path) -> list[str]:
    types = value if isinstance(value, list) else [value]
    if not types or not all(isinstance(name, str) and name in TYPES for name in types):
        raise refuse(path, f"type must be one or more of {', '.join(TYPES)}.")
    return list(dict.fromkeys(types))


def lower_enum(part: Part, value: Any, path: Path) -> None:
    if not isinstance(value, list) or not value:
        raise refuse(path, "enum must be a list of at least one value.")
    part.out["enum"] = [check_value(item, place((*path, i))) for i, item in enumerate(value)]


def lower_const(part: Part, value: Any, path: Path) -> None:
    part.others.append({"enum": [check_value(value, place(path))]})


def lower_pattern(part: Part, value: Any, path: Path) -> None:
    part.others.append({"pattern": pattern_of(value, path)})


def pattern_of(value: Any, path: Path) -> str:
    if not isinstance(value, str):
        raise refuse(path, "A pattern must be a string.")
    try:
        return to_rust(value)
    except InvalidGrammar as error:
        raise refuse(path, error.message) from None


def lower_format(part: Part, value: Any, path: Path) -> None:
    """Formats that JSON Schema doesn't define are annotations."""
    if not isinstance(value, str):
        raise refuse(path, "format must be a string.")
    if value in PATTERNS:
        part.others.append({"pattern": PATTERNS[value]})


def lower_bound(part: Part, value: Any, path: Path) -> None:
    """Open bounds of numbers move inwards by a billionth: the decimals of a text are finer than a double."""
    keyword = str(path[-1])
    if isinstance(value, bool) and keyword.startswith("exclusive"):  # draft 4: says how to read the other
        return
    if not is_number(value) or abs(value) > _MAX_BOUND:
        raise refuse(path, f"{keyword} must be a number from −{_MAX_BOUND} to {_MAX_BOUND}.")
    side = keyword.removeprefix("exclusive").lower()
    is_open = keyword != side or part.node.get("exclusive" + side.capitalize()) is True
    if is_open and part.node.get("type") == "integer":
        part.others.append({"exclusive" + side.capitalize(): value})
    else:
        part.others.append({side: inside(value, side) if is_open else _plain(value)})


def inside(value: float, side: str) -> float:
    """The bound that stands for an open one."""
    step = max(Decimal("1e-9"), abs(Decimal(str(value))) * Decimal("1e-12"))
    return float(Decimal(str(value)) + (step if side == "minimum" else -step))


def _plain(value: float) -> float:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def lower_multiple_of(part: Part, value: Any, path: Path) -> None:
    """Whole steps and binary fractions: of the others, readers that count in doubles say no to true multiples."""
    if not is_number(value) or value <= 0:
        raise refuse(path, "multipleOf must be a number above 0.")
    if isinstance(value, float) and not value.is_integer():
        if not (value * 1024).is_integer():
            raise refuse(path, "multipleOf must be a whole number or a binary fraction such as 0.5 or 0.25.")
        part.out["multipleOf"] = value
    else:
        part.others.append({"anyOf": [{"type": "integer", "multipleOf": int(value)}, {"type": _no_numbers()}]})


def _no_numbers() -> list[str]:
    return [name for name in TYPES if name not in ("integer", "number")]
