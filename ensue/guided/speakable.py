"""Patterns of a lowered schema without the characters that no string holds which is generated.

llguidance takes a class that holds all control characters for one that holds all that JSON escapes: with `[^"]` it
would allow a quotation mark. What no pattern speaks of can't mislead it, and a pattern of nothing else has no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ensue.guided.lowered import with_inner

_UNSPOKEN = r"\x{0}-\x{7}\x{b}\x{e}-\x{1f}\x{7f}"  # control characters without a short escape
_CONTROL = re.compile(r"\\x\{[01]?[0-9a-f]\}|\\x\{7f\}|[\x00-\x1f\x7f]")
_PIECE = re.compile(rf"{_CONTROL.pattern}|\\.|[^\\]", re.DOTALL)


def speakable(schema: Any) -> Any:
    """The same schema; it matches the same strings of those that are generated."""
    if not isinstance(schema, dict):
        return schema
    out = with_inner(schema, speakable)
    if "pattern" in out:
        out["pattern"] = speakable_regex(out["pattern"])
    if "patternProperties" in out:
        out["patternProperties"] = {speakable_regex(regex): node for regex, node in out["patternProperties"].items()}
    return out


def speakable_regex(regex: str) -> str:
    """A regex in Rust's syntax, its characters and classes without those."""
    return "".join(_pieces(regex))


def _pieces(regex: str) -> Iterator[str]:
    depth = 0  # of classes within each other
    for piece in _PIECE.findall(regex):
        if piece == "[":
            depth += 1
            yield "[[" if depth == 1 else piece
        elif piece == "]" and depth:
            depth -= 1
            yield piece if depth else f"]&&[^{_UNSPOKEN}]]"
        else:
            is_apart = not depth and _CONTROL.fullmatch(piece)
            yield f"[{piece}&&[^{_UNSPOKEN}]]" if is_apart else piece
