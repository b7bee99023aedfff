"""A constraint as rules of characters: what is given to the libraries that are not built in, in place of its own words.

So a text that they let end satisfies the constraint as we read it, whatever they make of schemas and regexes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from ensue.errors import InvalidGrammar
from ensue.guided import chars
from ensue.guided.constraint import JSON_KINDS, WHITESPACE, Constraint
from ensue.guided.ebnf import Choice, Node, Ref, Repeat, Sequence, Text
from ensue.guided.gbnf import START, read_gbnf
from ensue.guided.json_schema import lower
from ensue.guided.pattern import EMPTY, Call, Chars, Pattern, Rules, alt, leaves, literal, repeat, seq
from ensue.guided.render import inlined
from ensue.guided.rust_regex import whole
from ensue.guided.satisfiable import satisfiable
from ensue.guided.schema_language import Spacing, rules_of
from ensue.guided.schema_part import Schema

_WHITE_SPACE = chars.of(" \t\n\r")


def language_of(constraint: Constraint, backend: str) -> Rules:
    """
    Args:
        backend: whose name errors give.

    Raises:
        InvalidGrammar: malformed, impossible, or beyond this way to write it.
    """
    with _speaking_of(backend):
        return _language_of(constraint, is_regular=False)


def regular_language_of(constraint: Constraint, backend: str) -> Pattern:
    """The same as one pattern without calls, for libraries that know regular languages only."""
    with _speaking_of(backend):
        return inlined(_language_of(constraint, is_regular=True))


@contextlib.contextmanager
def _speaking_of(backend: str) -> Iterator[None]:
    try:
        yield
    except InvalidGrammar as error:
        message = error.message.replace("this backend", f"the backend {backend}")
        raise InvalidGrammar(message, param=error.param) from None


def _language_of(constraint: Constraint, *, is_regular: bool) -> Rules:
    if constraint.kind in JSON_KINDS:
        spacing = _spacing(constraint.whitespace_pattern)
        return rules_of(_schema_of(constraint), spacing, is_regular=is_regular)
    if constraint.kind == "regex":
        return Rules.of(whole(constraint.text)).pruned()
    if constraint.kind == "choice":
        return Rules.of(alt(literal(_whole_text(text)) for text in json.loads(constraint.text)))
    if constraint.kind == "tools":
        raise InvalidGrammar("Calls of tools cannot be expressed by this backend; use llguidance.")
    if is_regular:
        raise InvalidGrammar("Grammars cannot be expressed by this backend; use xgrammar or llguidance.")
    if "::=" not in constraint.text:
        raise InvalidGrammar("Of the notations of grammars, this backend takes GBNF; for Lark use llguidance.")
    rules = read_gbnf(constraint.text)
    return Rules({name: _pattern_of(node) for name, node in rules.items()}, START).pruned()


def _schema_of(constraint: Constraint) -> Schema:
    is_any = constraint.kind == "json_object"
    schema = satisfiable(lower({"type": "object"} if is_any else json.loads(constraint.text)))
    if schema is None:
        raise InvalidGrammar("The schema allows no value that ever ends.")
    return dict(schema)


def _spacing(pattern: str | None) -> Spacing:
    if pattern is None:
        return Spacing()
    try:
        space = whole(pattern)
    except InvalidGrammar as error:
        raise InvalidGrammar(error.message, param=WHITESPACE) from None
    for leaf in leaves(space):
        if isinstance(leaf, Chars) and chars.without(leaf.ranges, _WHITE_SPACE):
            raise InvalidGrammar(
                "A white space pattern may match nothing but spaces, tabs and line ends.", param=WHITESPACE
            )
    return Spacing(space, space)


def _whole_text(text: str) -> str:
    if any("\ud800" <= c < "\ue000" for c in text):
        raise InvalidGrammar("The text holds half a character (a lone surrogate).")
    return text


def _pattern_of(node: Node) -> Pattern:
    """A rule of GBNF."""
    match node:
        case Text(lark):
            return whole(lark[1:-1])
        case Ref(name):
            return Call(name)
        case Repeat(item, least, most):
            return repeat(_pattern_of(item), least, most)
        case Sequence(items):
            return seq(map(_pattern_of, items))
        case Choice(items):
            return alt(map(_pattern_of, items))
    return EMPTY
