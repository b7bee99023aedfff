"""JSON's numbers within bounds, as patterns: decimals without exponents, which have no bound but those given."""

from __future__ import annotations

import math
from decimal import Decimal

from ensue.guided.pattern import EMPTY, NOTHING, Chars, Pattern, alt, literal, optional, repeat, seq

_DIGIT = Chars(((48, 57),))
_DIGITS = repeat(_DIGIT, 0, None)
_NON_ZERO = Chars(((49, 57),))
_POINT, _MINUS = literal("."), literal("-")
_ANY_FRACTION = optional(seq([_POINT, repeat(_DIGIT, 1, None)]))


def integers(low: float | None, high: float | None) -> Pattern:
    """Whole numbers from low to high, both in; None for no bound."""
    least, most = None if low is None else math.ceil(low), None if high is None else math.floor(high)
    parts = []
    if most is None or most >= 0:
        parts.append(_naturals(max(0, least or 0), most))
    if least is None or least < 0:
        nearest = 1 if most is None else max(1, -most)
        parts.append(seq([_MINUS, _naturals(nearest, None if least is None else -least)]))
    return alt(parts)


def numbers(low: float | None, high: float | None) -> Pattern:
    """Decimals from low to high, both in; None for no bound."""
    least, most = (None if bound is None else Decimal(str(bound)) for bound in (low, high))
    parts = []
    if most is None or most >= 0:
        parts.append(_decimals(max(Decimal(0), least or Decimal(0)), most))
    if least is None or least < 0:
        nearest = Decimal(0) if most is None else max(Decimal(0), -most)
        parts.append(seq([_MINUS, _decimals(nearest, None if least is None else -least)]))
    return alt(parts)


def _digits(low: int, high: int) -> Pattern:
    return Chars(((48 + low, 48 + high),)) if low <= high else NOTHING


def _naturals(low: int, high: int | None) -> Pattern:
    """Without leading zeros."""
    if high is not None and high < low:
        return NOTHING
    shortest, longest = len(str(low)), len(str(low if high is None else high))
    parts = []
    for size in range(shortest, longest + 1):
        first, last = 10 ** (size - 1) * (size > 1), 10**size - 1
        parts.append(_of_one_size(str(max(low, first)), str(last if high is None else min(high, last))))
    if high is None:
        parts.append(seq([_NON_ZERO, repeat(_DIGIT, longest, None)]))
    return alt(parts)


def _of_one_size(low: str, high: str) -> Pattern:
    """Texts of digits between two of the same length."""
    if not low:
        return EMPTY
    if not low.strip("0") and not high.strip("9"):
        return repeat(_DIGIT, len(low), len(low))
    first, last, rest = int(low[0]), int(high[0]), len(low) - 1
    if first == last:
        return seq([literal(low[0]), _of_one_size(low[1:], high[1:])])
    return alt(
        [
            seq([literal(low[0]), _of_one_size(low[1:], "9" * rest)]),
            seq([_digits(first + 1, last - 1), repeat(_DIGIT, rest, rest)]),
            seq([literal(high[0]), _of_one_size("0" * rest, high[1:])]),
        ]
    )


def _decimals(low: Decimal, high: Decimal | None) -> Pattern:
    """From low, which is at least 0, to high."""
    if high is not None and high < low:
        return NOTHING
    whole, fraction = _split(low)
    if high is None:
        return alt([_at_whole(whole, _at_least(fraction)), seq([_naturals(whole + 1, None), _ANY_FRACTION])])
    last, last_fraction = _split(high)
    if whole == last:
        return _at_whole(whole, _between(fraction, last_fraction))
    return alt(
        [
            _at_whole(whole, _at_least(fraction)),
            seq([_naturals(whole + 1, last - 1), _ANY_FRACTION]),
            _at_whole(last, _at_most(last_fraction)),
        ]
    )


def _split(number: Decimal) -> tuple[int, str]:
    """The whole part, and the digits behind the point without closing zeros."""
    whole, _, fraction = format(number, "f").partition(".")
    return int(whole), fraction.rstrip("0")


def _at_whole(whole: int, fraction: Pattern) -> Pattern:
    return seq([literal(str(whole)), fraction])


def _at_least(fraction: str) -> Pattern:
    return seq([_POINT, _digits_from(fraction)]) if fraction else _ANY_FRACTION


def _at_most(fraction: str) -> Pattern:
    return optional(seq([_POINT, _digits_to(fraction)]))


def _between(low: str, high: str) -> Pattern:
    return seq([_POINT, _digits_between(low, high)]) if low else _at_most(high)


def _digits_from(low: str) -> Pattern:
    """Digits behind the point, for fractions of at least these."""
    if not low:
        return _DIGITS
    same = seq([literal(low[0]), _digits_from(low[1:])])
    return alt([same, seq([_digits(int(low[0]) + 1, 9), _DIGITS])])


def _digits_to(high: str) -> Pattern:
    """At least one digit."""
    if not high:
        return repeat(literal("0"), 1, None)
    same = seq([literal(high[0]), optional(_digits_to(high[1:]))])
    return alt([same, seq([_digits(0, int(high[0]) - 1), _DIGITS])])


def _digits_between(low: str, high: str) -> Pattern:
    if not low:
        return optional(_digits_to(high))
    first, last = int(low[0]), int(high[:1] or "0")
    if first == last:
        return seq([literal(low[0]), _digits_between(low[1:], high[1:])])
    if first > last:
        return NOTHING
    return alt(
        [
            seq([literal(low[0]), _digits_from(low[1:])]),
            seq([_digits(first + 1, last - 1), _DIGITS]),
            seq([literal(high[0]), optional(_digits_to(high[1:]))]),
        ]
    )
