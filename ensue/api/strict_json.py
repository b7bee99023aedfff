"""JSON as the standard has it: no duplicate keys, NaN, lone surrogates, endless numbers or nesting, nor more lists and
objects than anybody needs: each costs far more memory and time than the two bytes that it may take.

A good body is parsed once, by the standard library's C scanner; only a flawed one is parsed again, to say where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from ensue.errors import InvalidRequest, shown

MAX_CONTAINERS = 200_000  # lists and objects
LARGE_BYTES = 64 * 2**10  # more takes milliseconds to parse, so it is done in a thread
MAX_INT_DIGITS = 1000  # the interpreter refuses to read 4,300 and more
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, one level up, as signed bytes
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class _FlawFound(Exception):
    """Raised on the first reading."""


@dataclass(frozen=True, slots=True)
class _Flaw:
    """Stands for a value on the second reading."""

    sentence: str


def parse(body: bytes, max_depth: int) -> Any:
    """The value of a JSON text.

    Raises:
        InvalidRequest: not JSON, or flawed; `param` is the path of the flaw where it has one.
    """
    text = _decode(body)
    _refuse_many(text)
    try:
        value = _read(text, max_depth)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not valid JSON: {place} cannot be read.") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if _is_deeper(text, max_depth):
        raise _too_deep(max_depth)
    if _SURROGATE_ESCAPE.search(text):
        _refuse_flaws(value)
    return value


def _read(text: str, max_depth: int) -> Any:
    try:
        parse_int = int if len(text) <= LARGE_BYTES else _int
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=parse_int)
    except (_FlawFound, ValueError):  # ValueError: bad syntax, or a number with too many digits
        value = json.loads(text, object_pairs_hook=_marked, parse_constant=_mark_constant, parse_int=_bounded_int)
        if not _is_deeper(text, max_depth):
            _refuse_flaws(value)
            raise
        raise _too_deep(max_depth) from None


def _int(digits: str) -> int:
    """Python code, where other threads may take turns: the C scanner alone lets none run until it has read all."""
    return int(digits)


def _refuse_many(text: str) -> None:
    if _num_brackets(text) > MAX_CONTAINERS and _num_brackets(_outside_strings(text)) > MAX_CONTAINERS:
        raise InvalidRequest(f"The body may have at most {MAX_CONTAINERS} lists and objects.")


def _num_brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _decode(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _FlawFound
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise _FlawFound


def _is_deeper(text: str, limit: int) -> bool:
    """Whether valid JSON has more than `limit` levels; in one pass, since a hostile body may be all brackets."""
    if _num_brackets(text) <= limit:
        return False
    steps = _outside_strings(text).encode().translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > limit


def _outside_strings(text: str) -> str:
    """Of valid JSON. A regular expression takes ten times as long."""
    return "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])


def _too_deep(max_depth: int) -> InvalidRequest:
    return InvalidRequest(f"The body is nested more than {max_depth} levels deep.")


# ---- the second reading: flaws become values, and then have a path


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        value[key] = _Flaw("the key stands twice") if key in value else item
    return value


def _mark_constant(name: str) -> _Flaw:
    return _Flaw(f"{name} is not a JSON number")


def _bounded_int(digits: str) -> int | _Flaw:
    return int(digits) if len(digits) <= MAX_INT_DIGITS else _Flaw("the number has too many digits")


def _refuse_flaws(value: Any) -> None:
    if (found := _first_flaw(value)) is not None:
        sentence, places = found
        path = "".join(reversed(places)).removeprefix(".")
        raise InvalidRequest(sentence, param=path or None)


def _first_flaw(value: Any) -> tuple[str, list[str]] | None:
    """Its sentence, and where it stands, innermost place first."""
    match value:
        case _Flaw(sentence):
            return f"The body is not valid JSON: {sentence}.", []
        case str():
            return None if _is_unicode(value) else ("Texts must not have lone surrogates.", [])
        case list():
            items: Iterable[tuple[Any, Any]] = enumerate(value)
        case dict():
            items = value.items()
        case _:
            return None
    for place, item in items:
        if (found := _first_flaw(place) or _first_flaw(item)) is not None:
            found[1].append(f".{shown(place)}" if isinstance(place, str) else f"[{place}]")
            return found
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
