"""Rust's verbose mode of regexes: spaces and comments that mean nothing, taken out before anything else reads them."""

from __future__ import annotations

import re

_FLAGS = re.compile(r"\(\?([A-Za-z]*)(?:-([A-Za-z]*))?([:)])")
_PIECE = re.compile(r"\\.|.", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")
_SPACES = "\t\n\v\f\r \x85\u200e\u200f\u2028\u2029"


def without_comments(pattern: str) -> str:
    """The same regex, without the flag `x`."""
    return _Reader(pattern).run() if "x" in pattern and "(?" in pattern else pattern


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._modes = [False]  # of the groups that are open: whether spaces mean nothing
        self._class_depth = 0

    def run(self) -> str:
        out = []
        while self._at < len(self._pattern):
            out.append(self._next())
        return "".join(out)

    def _next(self) -> str:
        if not self._class_depth and (flags := _FLAGS.match(self._pattern, self._at)):
            self._at = flags.end()
            return self._flags(flags[1], flags[2] or "", flags[3])
        if self._modes[-1] and not self._class_depth and (comment := _COMMENT.match(self._pattern, self._at)):
            self._at = comment.end()
            return ""
        piece = self._take()
        if piece in _SPACES and self._modes[-1]:
            return ""
        if piece == "[":
            return self._class()
        self._class_depth -= piece == "]" and self._class_depth > 0
        if not self._class_depth:
            self._group(piece)
        return piece

    def _take(self) -> str:
        piece = _PIECE.match(self._pattern, self._at)
        assert piece is not None
        self._at = piece.end()
        return piece[0]

    def _class(self) -> str:
        """The head of a class: a `]` that comes first means itself."""
        self._class_depth += 1
        head = "["
        for mark in "^]":
            self._skip_spaces()
            if self._pattern.startswith(mark, self._at):
                head += self._take()
        return head

    def _skip_spaces(self) -> None:
        while self._modes[-1] and self._at < len(self._pattern) and self._pattern[self._at] in _SPACES:
            self._at += 1

    def _group(self, piece: str) -> None:
        if piece == "(":
            self._modes.append(self._modes[-1])
        elif piece == ")" and len(self._modes) > 1:
            self._modes.pop()

    def _flags(self, on: str, off: str, end: str) -> str:
        is_verbose = "x" in on or ("x" not in off and self._modes[-1])
        if end == ":":
            self._modes.append(is_verbose)
        else:
            self._modes[-1] = is_verbose
        on, off = on.replace("x", ""), off.replace("x", "")
        if not on and not off:
            return "(?:" if end == ":" else ""
        return f"(?{on}{'-' * bool(off)}{off}{end}"
