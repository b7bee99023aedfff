"""Keywords on any value, on strings and on numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any, TypeVar

from ensue.errors import InvalidGrammar
from ensue.guided.ecma_regex import to_rust
from ensue.guided.formats import PATTERNS
from ensue.guided.look_ahead import to_rust_names, to_rusts
from ensue.guided.schema_part import TYPES, Part, Path, Schema, place, refuse
from ensue.guided.schema_values import MAX_DIGITS, check_value, is_number, num_digits

T = TypeVar("T")
_HALVES = [2.0**-i for i in range(1, 9)]  # a double that rounds a multiple of one of them is a multiple, too
_MAX_STEP = 10**9
_NUM_MULTIPLES, _MAX_WHOLE, _MIN_MULTIPLE = 1000, 10_000, 1e-4  # of steps that are decimal fractions
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
    part.others.extend({"pattern": pattern} for pattern in _translated(value, path, to_rusts))


def pattern_of(value: Any, path: Path) -> str:
    return _translated(value, path, to_rust)


def name_pattern_of(value: Any, path: Path, *, is_wide: bool) -> str:
    return _translated(value, path, lambda pattern: to_rust_names(pattern, is_wide=is_wide))


def _translated(value: Any, path: Path, translate: Callable[[str], T]) -> T:
    if not isinstance(value, str):
        raise refuse(path, "A pattern must be a string.")
    try:
        return translate(value)
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
        part.others.append({side: _short(inside(value, side) if is_open else _plain(value), side)})


def inside(value: float, side: str) -> float:
    """The bound that stands for an open one."""
    step = max(Decimal("1e-9"), abs(Decimal(str(value))) * Decimal("1e-12"))
    return float(Decimal(str(value)) + (step if side == "minimum" else -step))


def _short(value: float, side: str) -> float:
    """Further inwards where it has more digits than a fraction may have."""
    if isinstance(value, int) or num_digits(value) <= MAX_DIGITS:
        return value
    rounding = ROUND_CEILING if side == "minimum" else ROUND_FLOOR
    return float(Context(prec=MAX_DIGITS, rounding=rounding).create_decimal(str(value)))


def _plain(value: float) -> float:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def lower_multiple_of(part: Part, value: Any, path: Path) -> None:
    """Whole steps, halves of halves, and of the others those multiples that readers who count in doubles accept."""
    if not is_number(value) or not 0 < value <= _MAX_STEP:
        raise refuse(path, f"multipleOf must be a number above 0, and at most {_MAX_STEP}.")
    if float(value).is_integer():
        multiples: list[Schema] = [{"type": ["integer"], "multipleOf": int(value)}]
    elif value in _HALVES:
        part.out["multipleOf"] = value
        return
    else:
        multiples = _decimal_multiples(value, part.node)
    if not multiples:
        raise refuse(path, "multipleOf is too small a step.")
    part.others.append({"anyOf": [*multiples, {"type": _no_numbers()}]})


def _decimal_multiples(step: float, node: Mapping[str, Any]) -> list[Schema]:
    """Small multiples one by one, and whole numbers where all of them are multiples."""
    low, high = ((bound if is_number(bound) else None) for bound in (node.get("minimum"), node.get("maximum")))
    found = (float(Decimal(str(step)) * i) for i in range(-_NUM_MULTIPLES, _NUM_MULTIPLES + 1))
    small = [v for v in found if v == 0 or (abs(v) >= _MIN_MULTIPLE and num_digits(v) <= MAX_DIGITS)]
    small = [v for v in small if (low is None or v >= low) and (high is None or v <= high)]
    multiples: list[Schema] = [{"enum": [_plain(v) for v in small if _is_multiple(v, step)]}] if small else []
    if (step * 1024).is_integer():  # known exactly
        multiples.append({"type": ["integer"], "multipleOf": Fraction(step).numerator})
    elif all(_is_multiple(i, step) for i in range(_MAX_WHOLE + 1)):
        multiples.append({"type": ["integer"], "minimum": -_MAX_WHOLE, "maximum": _MAX_WHOLE})
    return multiples


def _is_multiple(value: float, step: float) -> bool:
    return (value / step).is_integer()


def _no_numbers() -> list[str]:
    return [name for name in TYPES if name not in ("integer", "number")]
