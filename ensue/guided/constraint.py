"""What a text must satisfy, as a value: equal constraints have equal digests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from ensue.errors import InvalidGrammar

Kind = Literal["json", "json_object", "regex", "choice", "grammar", "tools"]
BackendName = Literal["llguidance", "xgrammar", "outlines"]

DEFAULT_BACKEND: BackendName = "llguidance"
JSON_KINDS: tuple[Kind, ...] = ("json", "json_object")

WHITESPACE = "whitespace_pattern"  # the `param` of errors in that pattern, which is no place within the constraint

MAX_GRAMMAR_BYTES = 64 * 2**10  # schemas and choices, too
MAX_TOOLS_BYTES = 2**20  # settings allow less
MAX_REGEX_BYTES = 8 * 2**10
MAX_NESTING = 64


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint, in its canonical spelling.

    Raises:
        InvalidGrammar: too long; `param` names the place within the constraint, None for the whole of it.
    """

    kind: Kind
    text: str  # json: the schema; choice: the list of strings; tools: a `ToolUse`; all as JSON; json_object: empty
    whitespace_pattern: str | None = None  # between JSON tokens; None: one optional space after separators
    backend: BackendName = DEFAULT_BACKEND

    def __post_init__(self) -> None:
        limits = {"regex": MAX_REGEX_BYTES, "tools": MAX_TOOLS_BYTES}
        check_size(self.text, limits.get(self.kind, MAX_GRAMMAR_BYTES))
        check_size(self.whitespace_pattern or "", MAX_REGEX_BYTES)

    @classmethod
    def of_schema(cls, schema: Any, whitespace_pattern: str | None = None) -> Constraint:
        """A JSON schema as parsed JSON; the order of properties counts, white space does not."""
        if nesting_of(schema) > MAX_NESTING:
            raise InvalidGrammar(f"The schema is nested deeper than {MAX_NESTING} levels.")
        return cls("json", compact_json(_without_words(schema)), whitespace_pattern)

    @classmethod
    def of_choices(cls, choices: tuple[str, ...]) -> Constraint:
        """One of these strings; a string that is given twice counts once."""
        if not choices:
            raise InvalidGrammar("At least one string to choose from is needed.")
        return cls("choice", compact_json(list(dict.fromkeys(choices))))

    @property
    def digest(self) -> bytes:
        """Equal for equal constraints only."""
        fields = [self.kind, self.text, self.whitespace_pattern, self.backend]
        return hashlib.blake2b(compact_json(fields).encode(), digest_size=16).digest()


def compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))  # ASCII, so that lone surrogates survive until they are refused


_WORDS = ("title", "description", "$comment", "markdownDescription")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains")


def _without_words(schema: Any) -> Any:
    """A schema without what it says to people, which costs nothing and means nothing."""
    if isinstance(schema, list):  # of schemas
        return [_without_words(node) for node in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_words(node) for name, node in value.items()}
        if key in _MAPS and isinstance(value, dict)
        else _without_words(value)
        if key in (*_LISTS, *_SCHEMAS)
        else value
        for key, value in schema.items()
        if key not in _WORDS or not isinstance(value, str)
    }


def nesting_of(value: Any) -> int:
    """How many lists and objects lie within each other; needs no stack of its own."""
    deepest, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return deepest


def check_size(text: str, limit: int, param: str | None = None) -> None:
    """
    Raises:
        InvalidGrammar: the text is longer than the limit, in bytes.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise InvalidGrammar(f"The constraint has {size} bytes; at most {limit} are allowed.", param=param)
