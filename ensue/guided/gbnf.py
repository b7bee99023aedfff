"""GBNF, the notation of llama.cpp (`root ::= "a" | [0-9]+`), to Lark.

Every character becomes a lexeme of its own, so that the text means what the rules say, whatever a lexer would prefer;
but for quoted texts, where a lexer has no choice (`quoted`).
"""

from __future__ import annotations

import re

from ensue.guided.ebnf import (
    MAX_REPEATS,
    Node,
    Ref,
    Repeat,
    Rules,
    Sequence,
    Text,
    Token,
    Tokens,
    check,
    read_choice,
)
from ensue.guided.quoted import with_lexemes

START = "root"
TOKENS = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)
    |(?P<line>\n)
    |(?P<is>::=)
    |(?P<name>[a-zA-Z_][a-zA-Z0-9_-]*)
    |(?P<string>"(?:\\.|[^"\\\n])*")
    |(?P<set>\[(?:\\.|[^\]\\\n])*\])
    |(?P<braces>\{[^}\n]*\})
    |(?P<any>\.)
    |(?P<op>[|()*+?])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(.)", re.DOTALL)
_CONTROLS = {"n": 10, "r": 13, "t": 9}
_MARKS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def gbnf_to_lark(source: str) -> str:
    """Translate a grammar.

    Raises:
        InvalidGrammar: with line and column.
    """
    return as_lark(with_lexemes(read_gbnf(source), START))


def as_lark(rules: Rules) -> str:
    """Rules in Lark's notation."""
    names = {name: f"r{i}" for i, name in enumerate(rules)} | {START: "start"}
    return "\n".join(f"{names[name]}: {_lark(node, names)}" for name, node in rules.items())


def read_gbnf(source: str) -> dict[str, Node]:
    """The rules of a grammar; each text is a regex of one character, between slashes.

    Raises:
        InvalidGrammar: with line and column.
    """
    rules = _parse(Tokens(source, TOKENS))
    check(source, rules, START)
    return rules


def _parse(tokens: Tokens) -> dict[str, Node]:
    rules: dict[str, Node] = {}
    tokens.skip_lines()
    while tokens.kind != "end":
        if tokens.text in rules:
            raise tokens.wrong("This rule stands in the grammar twice.")
        name = tokens.expect("name", "The name of a rule").text
        tokens.expect("is", "::=")
        rules[name] = read_choice(tokens, _sequence)
        if tokens.kind not in ("line", "end"):
            raise tokens.wrong("This does not belong to a rule.")
        tokens.skip_lines()
    return rules


def _sequence(tokens: Tokens) -> Node:
    """Goes on over lines only within a group, and at its start."""
    items: list[Node] = []
    tokens.skip_lines()
    while tokens.kind in ("string", "set", "any") or tokens.text == "(" or _is_ref(tokens):
        items.append(_repeated(tokens, _item(tokens)))
        if tokens.is_in_group:
            tokens.skip_lines()
    return Sequence(tuple(items))


def _is_ref(tokens: Tokens) -> bool:
    return tokens.kind == "name" and tokens.peek(1) != "is"


def _item(tokens: Tokens) -> Node:
    token = tokens.take()
    if token.kind == "name":
        return Ref(token.text, token.at)
    if token.kind == "string":
        return Sequence(tuple(Text(f"/{_character(code)}/") for code in _codes(tokens, token)))
    if token.kind == "set":
        return Text(f"/{_set(tokens, token)}/")
    if token.kind == "any":
        return Text(r"/(?s:.)/")
    inner = read_choice(tokens, _sequence)
    if tokens.text != ")":
        raise tokens.wrong(") was expected here.")
    tokens.take()
    return inner


def _repeated(tokens: Tokens, item: Node) -> Node:
    while tokens.text in _MARKS or tokens.kind == "braces":
        least, most = _MARKS[tokens.text] if tokens.text in _MARKS else _counts(tokens)
        tokens.take()
        item = Sequence(()) if most == 0 else Repeat(item, least, most)
    return item


def _counts(tokens: Tokens) -> tuple[int, int | None]:
    found = re.fullmatch(r"\{\s*(\d{1,9})\s*(,\s*(\d{1,9})?\s*)?\}", tokens.text)
    if not found:
        raise tokens.wrong("Repetition is written {m}, {m,} or {m,n}.")
    least = int(found[1])
    most = least if found[2] is None else int(found[3]) if found[3] else None
    if (most or least) > MAX_REPEATS or (most is not None and most < least):
        raise tokens.wrong(f"A repetition must have rising bounds of at most {MAX_REPEATS}.")
    return least, most


def _codes(tokens: Tokens, token: Token) -> list[int]:
    """The characters of a string or a set, without its quotes or brackets."""
    codes = []
    for found in _ESCAPE.finditer(token.text[1:-1]):
        code = found[1] or found[2] or found[3]
        codes.append(int(code, 16) if code else _CONTROLS.get(found[4], ord(found[4])) if found[4] else ord(found[5]))
        if 0xD800 <= codes[-1] < 0xE000 or codes[-1] > 0x10FFFF:
            raise tokens.wrong("The text before this place has an escape that is no character.")
    return codes


def _set(tokens: Tokens, token: Token) -> str:
    is_negated = token.text.startswith("[^")
    inside = Token(token.kind, "[" + token.text[2:], token.at) if is_negated else token
    found = _ESCAPE.findall(inside.text[1:-1])
    codes, is_dash = _codes(tokens, inside), [match[4] == "-" for match in found]
    if not codes:
        raise tokens.wrong("The set before this place is empty.")
    parts, i = [], 0
    while i < len(codes):
        if i + 2 < len(codes) and is_dash[i + 1]:
            if codes[i + 2] < codes[i]:
                raise tokens.wrong("A range of the set before this place runs backwards.")
            parts.append(f"{_character(codes[i])}-{_character(codes[i + 2])}")
            i += 3
        else:
            parts.append(_character(codes[i]))
            i += 1
    return f"[{'^' * is_negated}{''.join(parts)}]"


def _character(code: int) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else f"\\x{{{code:x}}}"


def _lark(node: Node, names: dict[str, str]) -> str:
    if isinstance(node, Text):
        return node.lark
    if isinstance(node, Ref):
        return names[node.name]
    if isinstance(node, Repeat):
        most = "" if node.most is None else node.most
        return f"({_lark(node.item, names)}){{{node.least},{most}}}"
    inner = [_lark(item, names) for item in node.items]
    if isinstance(node, Sequence):
        return " ".join(inner) if inner else '""'
    return f"({' | '.join(inner)})"
