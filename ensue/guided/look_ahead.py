"""What a pattern must not match, and look-ahead at its start, without look-ahead: for forms that people write.

ECMA's syntax comes in, Rust's goes out. A look-ahead behind a leading ^ is a pattern of its own beside the rest.
"""

from __future__ import annotations

import re

from ensue.errors import InvalidGrammar
from ensue.guided.ecma_regex import to_rust
from ensue.guided.pattern_denial import avoiding_matches
from ensue.guided.regex import avoiding, escape

_LITERAL = r"(?:[A-Za-z0-9_ @/:,;<>=!#%&'\"~`-]|\\[^A-Za-z0-9])"
_WORDS = re.compile(rf"{_LITERAL}+(?:\|{_LITERAL}+)*")
_WHOLE_WORDS = re.compile(rf"{_LITERAL}+\$(?:\|{_LITERAL}+\$)*")
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])+\]|\\[dws]")
_GROUP = re.compile(r"\((?:\?:)?([^()]*)\)")
_ANYWHERE = re.compile(rf"(?:\.\*|\[\\s\\S\]\*)({_LITERAL}+)")
_WORD = "[0-9A-Za-z_]"
_HEAD = ("^(?=", "^(?!")


def to_rusts(pattern: str) -> list[str]:
    """Patterns that hold of a text together just where this one does, or of fewer texts.

    Raises:
        InvalidGrammar: as `to_rust`, and where a look-ahead is none of these forms.
    """
    found = []
    while pattern.startswith(_HEAD) and not _has_alternatives(pattern):
        end = _end_of_group(pattern, 1)
        body = pattern[4 : end - 1]
        if pattern[end : end + 1] in ("*", "+", "?", "{"):
            return [_refused()]
        found.append(to_rust(f"^(?:{body})") if pattern.startswith("^(?=") else f"^{_beside_or_less(body)}$")
        pattern = "^" + pattern[end:]
    if not _has_alternatives(pattern):
        pattern, edges = _without_boundaries(pattern)
        found += edges
    return [*found, to_rust(pattern)] if pattern != "^" or not found else found


def _without_boundaries(pattern: str) -> tuple[str, list[str]]:
    """A pattern without word boundaries at the ends of the text, and what they ask for: a word's character there."""
    edges = []
    if pattern.startswith(r"^\b"):
        pattern = "^" + pattern[3:]
        edges.append(f"^{_WORD}")
    if pattern.endswith(r"\b$") and not pattern.endswith(r"\\b$"):
        pattern = pattern[:-3] + "$"
        edges.append(f"{_WORD}$")
    return pattern, edges


def to_rust_names(pattern: str, *, is_wide: bool) -> str:
    """One pattern for names.

    Args:
        is_wide: match all that any reader matches, and what a look-ahead at the start leaves out; else fewer names.

    Raises:
        InvalidGrammar: as `to_rusts`, or a look-ahead stands beside more than `.*`.
    """
    if not pattern.startswith(_HEAD) or _has_alternatives(pattern):
        return to_rust(pattern, is_wide=is_wide)
    end = _end_of_group(pattern, 1)
    rest = pattern[end:]
    if is_wide:
        return to_rust_names("^" + rest, is_wide=True)
    if pattern.startswith("^(?!") and rest in ("", ".*"):
        return f"^{beside(pattern[4 : end - 1])}$"
    return _refused()


def beside(body: str) -> str:
    """A regex for whole texts whose start does not match.

    Raises:
        InvalidGrammar: the body is none of the forms that can be turned round.
    """
    if "\\$" in body:
        return _refused()
    inner = body
    while group := _GROUP.fullmatch(inner):
        inner = group[1]
    is_whole = _WHOLE_WORDS.fullmatch(inner) is not None or (inner.endswith("$") and "|" not in inner)
    if is_whole:
        inner = inner.replace("$", "")
    elif is_whole := inner.endswith(")$"):
        inner = inner[:-1]
        while group := _GROUP.fullmatch(inner):
            inner = group[1]
    if is_whole and inner in (r"\s*", r"\s+"):  # something else than white space
        return rf"(?s:.)*{to_rust(chr(92) + 'S')}(?s:.)*"
    if _WORDS.fullmatch(inner):
        words = [_unescaped(word) for word in inner.split("|")]
        # Python's $ also stands before a last line end
        return avoiding(words + [word + "\n" for word in words]) if is_whole else avoiding(words, as_prefix=True)
    if not is_whole and _CLASS.fullmatch(inner):
        others = to_rust(f"[^{inner[1:-1]}]" if inner.startswith("[") and inner[1] != "^" else inner.upper())
        return f"(?:{others}(?s:.)*|)" if not inner.startswith("[^") else _refused()
    if (found := _ANYWHERE.fullmatch(inner)) and not is_whole:
        return _without(_unescaped(found[1]))
    return _refused()


def denied_pattern(pattern: str) -> str:
    """A regex for whole texts in which a pattern matches nowhere; where that can't be said of all of them, of some.

    Raises:
        InvalidGrammar: the pattern can't be read, or no such text can be told.
    """
    if pattern.startswith("^") and not _has_alternatives(pattern):
        return _beside_or_less(pattern[1:])
    if re.fullmatch(f"{_LITERAL}+", pattern) and len(set(word := _unescaped(pattern))) == 1:
        return _without(word)
    return avoiding_matches(pattern)


def _beside_or_less(body: str) -> str:
    """As `beside`, or fewer texts."""
    try:
        return beside(body)
    except InvalidGrammar:
        return avoiding_matches(f"^(?:{body})")


def _without(word: str) -> str:
    """Texts that do not contain a word, which must be one character, as often as you like."""
    if len(set(word)) != 1:
        return _refused()
    c, most = escape(word[0]), len(word) - 1
    return f"(?:{c}{{0,{most}}}[^{c}])*{c}{{0,{most}}}"


def _refused() -> str:
    raise InvalidGrammar(
        "Look-around is supported only at the start of a pattern, and for words and single characters."
    )


def _unescaped(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)


def _has_alternatives(pattern: str) -> bool:
    """Whether a | stands outside of all groups and classes."""
    depth, is_in_class, at = 0, False, 0
    while at < len(pattern):
        c = pattern[at]
        if c == "|" and depth == 0 and not is_in_class:
            return True
        depth += 0 if is_in_class else (c == "(") - (c == ")")
        is_in_class = c == "[" or (is_in_class and c != "]")
        at += 2 if c == "\\" else 1
    return False


def _end_of_group(pattern: str, start: int) -> int:
    """The place behind the group that begins there."""
    depth, is_in_class, at = 0, False, start
    while at < len(pattern):
        c = pattern[at]
        depth += 0 if is_in_class else (c == "(") - (c == ")")
        is_in_class = c == "[" or (is_in_class and c != "]")
        at += 2 if c == "\\" else 1
        if depth == 0:
            return at
    raise InvalidGrammar("A group of the pattern is not closed.")
