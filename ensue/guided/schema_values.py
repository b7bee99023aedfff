"""Values that stand in a schema: what can be written so that every reader reads the same."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from ensue.errors import InvalidGrammar

_MAX_EXACT = 2**53  # whole numbers up to here are the same as doubles
MAX_DIGITS = 15  # of a fraction: with more of them, the library reads another double than everybody else


def check_value(value: Any, param: str | None) -> Any:
    """A value of enum or const, or of a default.

    Raises:
        InvalidGrammar: a number that doubles can't tell from its neighbours, a string with a lone surrogate or a
            character that JSON can write only as a \\u escape, which is never generated.
    """
    if isinstance(value, dict):
        return {_check_text(name, param): check_value(item, param) for name, item in value.items()}
    if isinstance(value, list):
        return [check_value(item, param) for item in value]
    if isinstance(value, str):
        return _check_text(value, param)
    return _check_number(value, param) if is_number(value) else value


def _check_text(text: str, param: str | None) -> str:
    if any((c < " " and c not in "\b\f\n\r\t") or c == "\x7f" or "\ud800" <= c < "\ue000" for c in text):
        raise InvalidGrammar("The value holds a control character or half a character.", param=param)
    return text


def _check_number(value: float, param: str | None) -> float:
    is_small = isinstance(value, float) and 0 < abs(value) < 1e-9
    if not math.isfinite(value) or abs(value) > _MAX_EXACT or is_small:
        raise InvalidGrammar(f"Numbers must lie between 1e-9 and {_MAX_EXACT} in size, or be 0.", param=param)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if num_digits(value) > MAX_DIGITS and isinstance(value, float):
        raise InvalidGrammar(f"Fractions may have at most {MAX_DIGITS} digits.", param=param)
    return value


def num_digits(value: float) -> int:
    """Significant ones, in decimals."""
    return len(Decimal(str(value)).normalize().as_tuple().digits)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_plain_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def json_equal(one: Any, other: Any) -> bool:
    """Equal as JSON values: 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(json_equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(json_equal, one, other))
    return bool(one == other)


def type_of(value: Any) -> str:
    """The JSON type of a value; `integer` for whole numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
