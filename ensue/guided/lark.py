"""Checks a Lark grammar before a library reads it: only what Lark itself knows, and only what has an end.

llguidance's own additions (attributes of rules, special tokens, nested schemas and grammars) are refused: they would
let a text end, or contain, what the grammar does not say.
"""

from __future__ import annotations

import re

from ensue.guided.ebnf import Node, Ref, Repeat, Sequence, Text, Token, Tokens, check, read_choice
from ensue.guided.regex import narrow

START = "start"
TOKENS = re.compile(
    r"""(?P<skip>[ \t\f\r]+|(?://|\#)[^\n]*)
    |(?P<line>\n)
    |(?P<string>"(?:\\.|[^"\\\n])*"i?)
    |(?P<regex>/(?![/*])(?:\\.|[^/\\\n])+/[imslux]*)
    |(?P<directive>%[a-z_]+)
    |(?P<arrow>->)
    |(?P<range>\.\.)
    |(?P<name>[?!]*_*[A-Za-z][A-Za-z0-9_]*)
    |(?P<number>-?\d+)
    |(?P<op>[|()\[\]*+?:~,.])""",
    re.VERBOSE,
)
_MARKS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_DIRECTIVES = ("%ignore", "%import")


def check_lark(source: str) -> None:
    """
    Raises:
        InvalidGrammar: with line and column.
    """
    tokens = Tokens(source, TOKENS)
    rules: dict[str, Node] = {}
    while tokens.kind != "end":
        if tokens.kind == "line":
            tokens.take()
        elif tokens.kind == "directive":
            _directive(tokens, rules)
        else:
            _definition(tokens, rules)
    check(source, rules, START)


def narrowed(source: str) -> str:
    """A checked grammar, whose regexes hold only what every reader of classes such as \\d agrees on."""
    return "".join(_narrowed(token[0]) if token.lastgroup == "regex" else token[0] for token in TOKENS.finditer(source))


def _narrowed(regex: str) -> str:
    body, _, flags = regex[1:].rpartition("/")
    return f"/{narrow(body)}/{flags}"


def _directive(tokens: Tokens, rules: dict[str, Node]) -> None:
    if tokens.text not in _DIRECTIVES:
        raise tokens.wrong("Of the directives, %ignore and %import are supported.")
    if tokens.take().text == "%ignore":
        read_choice(tokens, _sequence)
        return
    names = []
    if tokens.text != "common":
        raise tokens.wrong("Only what Lark calls common can be imported.")
    while tokens.kind not in ("line", "end"):
        names.append(tokens.take())
    words = [token.text for token in names if token.kind == "name"][1:]
    has_alias = any(token.kind == "arrow" for token in names)
    rules.update(dict.fromkeys(words[-1:] if has_alias else words, Text("")))


def _definition(tokens: Tokens, rules: dict[str, Node]) -> None:
    name = _plain_name(tokens.expect("name", "A rule or a directive"))
    if tokens.text != ":":
        raise tokens.wrong("A colon was expected here; priorities, templates and attributes are not supported.")
    tokens.take()
    if name in rules:
        raise tokens.wrong("The rule of this place stands in the grammar twice.")
    rules[name] = read_choice(tokens, _sequence)
    if tokens.kind not in ("line", "end"):
        raise tokens.wrong("This does not belong to a rule.")


def _plain_name(token: Token) -> str:
    return token.text.lstrip("?!")


def _sequence(tokens: Tokens) -> Node:
    items: list[Node] = []
    while tokens.kind in ("string", "regex", "name") or tokens.text in ("(", "["):
        items.append(_repeated(tokens, _item(tokens)))
    if tokens.kind == "arrow":
        tokens.take()
        tokens.expect("name", "An alias")
    return Sequence(tuple(items))


def _item(tokens: Tokens) -> Node:
    token = tokens.take()
    if token.kind == "name":
        return Ref(_plain_name(token), token.at)
    if token.text == "(":
        return _group(tokens, ")")
    if token.text == "[":
        return Repeat(_group(tokens, "]"), 0, 1)
    if tokens.kind == "range":
        tokens.take()
        tokens.expect("string", "The end of a range")
    return Text(token.text)


def _group(tokens: Tokens, closing: str) -> Node:
    inner = read_choice(tokens, _sequence)
    if tokens.text != closing:
        raise tokens.wrong(f"{closing} was expected here.")
    tokens.take()
    return inner


def _repeated(tokens: Tokens, item: Node) -> Node:
    while tokens.text in (*_MARKS, "~"):
        mark = tokens.take().text
        least, most = _MARKS[mark] if mark in _MARKS else _counts(tokens)
        item = Repeat(item, least, most)
    return item


def _counts(tokens: Tokens) -> tuple[int, int | None]:
    least = int(tokens.expect("number", "A count").text)
    if tokens.kind != "range":
        return least, least
    tokens.take()
    return least, int(tokens.expect("number", "A count").text)
