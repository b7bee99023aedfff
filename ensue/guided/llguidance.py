"""The built-in backend. A compiled grammar is llguidance's own grammar text: rebuilding it takes milliseconds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark

from ensue.errors import GenerationFailed, InvalidGrammar
from ensue.guided.backend import Strictness
from ensue.guided.constraint import JSON_KINDS, WHITESPACE, Constraint, compact_json
from ensue.guided.grammar import to_lark
from ensue.guided.json_schema import lower
from ensue.guided.regex import escape, narrow
from ensue.guided.satisfiable import satisfiable
from ensue.guided.schema_circles import without_circles
from ensue.guided.slices import Slices, slices_for
from ensue.guided.speakable import speakable
from ensue.guided.tool_grammar import tool_grammar
from ensue.guided.vocabulary import Vocabulary
from ensue.request import CompiledGrammar

NAME = "llguidance"
_SEPARATORS: dict[str, object] = {"item_separator": ", ?", "key_separator": ": ?", "whitespace_flexible": False}
# Masks hold every token that fits, not only those that the tokenizer would choose: bans then leave another way.
_OPTIONS = '\n%llguidance {"no_forcing": true}'
_REGEX = "start: /"  # begins the source of a regex
_ESCAPES = 'nrbtf"\\'  # no \\u: a name must not be written in two ways
_PLACE = re.compile(r"^(?:at )?(\d+)\((\d+)\): ", re.MULTILINE)
_TOO_LARGE = re.compile(
    "schema too large|stack level exceeded|DNF too large|configuration .* too big|grammar.symbols.len"
)
# A schema that grows more than so many fold, beyond so many bytes, has more alternatives than the library takes: of
# thousands of published ones, none that it took whole grew more than half as much.
_MAX_GROWTH, _MIN_GROWN_BYTES = 8, 64 * 2**10
_OURS = (  # what of the library's words is said in ours
    (re.compile("Unsatisfiable schema: "), "No value that can be generated fits the schema: "),
    (
        re.compile("(?i:lexer precomputation failed|fuel exhausted|unable to determine if regex is empty).*"),
        "The constraint is too complex to follow",
    ),
    (re.compile("lark grammar too deeply nested.*"), "The grammar is nested too deep"),
    (re.compile("Regex is empty.*"), "no text matches all that is said of a string"),
    (
        re.compile("patternProperty .* not disjoint"),
        "Two of patternProperties match one name, which cannot be enforced",
    ),
    (
        re.compile(".*lookarounds not supported yet"),
        "Word boundaries, and ^ or $ within a regex, are lookarounds, which are not supported",
    ),
)
_QUOTED = re.compile(r"""(["'/`]).*?\1""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a schema is written, where the library can't take it as it is."""

    is_frugal: bool = False  # with fewer alternatives
    is_joining: bool = False  # with one patternProperties for several
    is_spread: bool = False  # with what references lead to beside what stands beside them


class LlguidanceBackend:
    """Implements `Backend`."""

    def __init__(self, vocabulary: Vocabulary, strictness: Strictness) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = LLTokenizer(_Tokens(vocabulary))  # type: ignore[arg-type]
        self._sliced: dict[Slices, LLTokenizer] = {}
        self._limits = LLParserLimits(
            max_items_in_row=strictness.max_items_in_row,
            initial_lexer_fuel=strictness.initial_fuel,
            step_lexer_fuel=strictness.step_fuel,
            step_max_items=strictness.step_max_items,
            max_lexer_states=strictness.max_lexer_states,
            verbose_errors=False,
        )
        self._fresh: dict[str, LLMatcher] = {}  # of what was compiled last, for the load that follows

    def compile(self, constraint: Constraint) -> CompiledGrammar:
        if constraint.whitespace_pattern is not None:
            try:
                self._check_whitespace(constraint.whitespace_pattern)
            except InvalidGrammar as error:
                raise InvalidGrammar(error.message, param=WHITESPACE) from None
        payload = self._checked(constraint).encode()
        return CompiledGrammar(NAME, payload, hashlib.blake2b(payload, digest_size=16).digest())

    def _checked(self, constraint: Constraint) -> str:
        """The source, in the plainest form that the library takes."""
        form = _Form()
        while True:
            source = self._source_of(constraint, form)
            is_hopeless = not form.is_frugal and _has_outgrown(source, constraint)
            matcher = None if is_hopeless else self._start(source)
            error = "" if matcher is None else matcher.get_error()
            if not form.is_frugal and (matcher is None or _TOO_LARGE.search(error)):
                form = replace(form, is_frugal=True)
            elif not form.is_spread and "circular references" in error:
                form = replace(form, is_spread=True)
            elif not form.is_joining and "are not disjoint" in error:
                form = replace(form, is_joining=True)
            elif matcher is not None:
                break
        _check(matcher, has_places=constraint.kind == "grammar" and "::=" not in constraint.text)
        self._fresh = {source: matcher}
        return source

    def load(self, grammar: CompiledGrammar) -> LlguidanceMatcher:
        source = grammar.payload.decode()
        matcher = self._fresh.pop(source) if source in self._fresh else self._match(source)
        return LlguidanceMatcher(matcher, self._vocabulary)

    def _source_of(self, constraint: Constraint, form: _Form) -> str:
        if constraint.kind == "tools":
            schema_source = partial(_schema_source, form=form)
            return tool_grammar(constraint.text, self._vocabulary.special_ids, schema_source) + _OPTIONS
        return _source_of(constraint, form)

    def _match(self, source: str) -> LLMatcher:
        matcher = self._start(source)
        _check(matcher)
        return matcher

    def _start(self, source: str) -> LLMatcher:
        """A matcher that may be in error."""
        return LLMatcher(self._tokenizer_for(source), source, log_level=0, limits=self._limits)

    def _tokenizer_for(self, source: str) -> LLTokenizer:
        """The one that makes the masks of this source fastest."""
        slices = slices_for(source) if source.startswith(_REGEX) else None
        if slices is None:
            return self._tokenizer
        if slices not in self._sliced:
            self._sliced[slices] = self._tokenizer.with_slices(list(slices))
        return self._sliced[slices]

    def _check_whitespace(self, pattern: str) -> None:
        """Between JSON tokens nothing but white space may stand."""
        if not pattern:
            return
        lexeme = regex_to_lark(narrow(pattern), use_ascii="")
        self._match(regex_source(narrow(pattern)))
        other = LLMatcher(self._tokenizer, f"start: T\nT: /{lexeme}/ & ~/[ \\t\\n\\r]*/", log_level=0)
        other.compute_bitmask()
        if not other.is_error() or other.is_accepting():
            raise InvalidGrammar("A white space pattern may match nothing but spaces, tabs and line ends.")


def _has_outgrown(source: str, constraint: Constraint) -> bool:
    return len(source) > max(_MIN_GROWN_BYTES, _MAX_GROWTH * len(constraint.text))


class LlguidanceMatcher:
    """Implements `Matcher`."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def bitmask(self) -> bytes:
        if self._matcher.is_stopped() and not self._matcher.is_error():
            return bytes(self._vocabulary.num_bitmask_bytes)
        bits = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            if self._matcher.get_error().startswith("NoExtension"):
                return bytes(self._vocabulary.num_bitmask_bytes)
            raise GenerationFailed(sentence(self._matcher.get_error()))
        return _without_end(bits, len(self._vocabulary.tokens))

    def accept(self, token_id: int) -> None:
        if not self._matcher.consume_token(token_id):
            raise GenerationFailed(sentence(self._matcher.get_error()))

    @property
    def is_accepting(self) -> bool:
        return not self._matcher.is_error() and self._matcher.is_accepting()

    def fork(self) -> LlguidanceMatcher:
        return LlguidanceMatcher(self._matcher.deep_copy(), self._vocabulary)


class _Tokens:
    """The vocabulary as llguidance asks for it, with an end token of its own behind the last one."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.tokens = [*vocabulary.tokens, b"<end>"]
        self.eos_token_id = len(vocabulary.tokens)
        self.bos_token_id = None
        self.special_token_ids = [*sorted(vocabulary.special_ids), self.eos_token_id]
        self.is_tokenizer_wrapper = True
        self._ids = {token: i for i, token in enumerate(vocabulary.tokens) if token}
        self._longest = max(map(len, self._ids), default=0)

    def __call__(self, text: str | bytes) -> Sequence[int]:
        """Some way to write a text in tokens; only ever a hint."""
        data = text.encode() if isinstance(text, str) else text
        ids: list[int] = []
        while data:
            length = next((n for n in range(min(self._longest, len(data)), 0, -1) if data[:n] in self._ids), None)
            if length is None:
                break
            ids.append(self._ids[data[:length]])
            data = data[length:]
        return ids


def _source_of(constraint: Constraint, form: _Form) -> str:
    """Lark text in llguidance's dialect."""
    if constraint.kind in JSON_KINDS:
        return f"start: %json {_schema_of(constraint, form)}{_OPTIONS}"
    if constraint.kind == "grammar":
        return with_options(to_lark(constraint.text))
    if constraint.kind == "regex":
        return regex_source(narrow(constraint.text))
    return regex_source("|".join(map(escape, json.loads(constraint.text))))


def with_options(lark: str) -> str:
    """A grammar in Lark's notation, with what we ask of the library."""
    return lark + _OPTIONS


def regex_source(regex: str) -> str:
    """A grammar for a regex in Rust's syntax."""
    return f"{_REGEX}{regex_to_lark(regex, use_ascii='')}/{_OPTIONS}" if regex else f'start: ""{_OPTIONS}'


def _schema_of(constraint: Constraint, form: _Form) -> str:
    is_any = constraint.kind == "json_object"
    schema = {"type": "object"} if is_any else json.loads(constraint.text)
    return _schema_source(schema, constraint.whitespace_pattern, form=form)


def _schema_source(schema: Any, whitespace_pattern: str | None = None, *, form: _Form) -> str:
    lowered = satisfiable(lower(schema, is_frugal=form.is_frugal, is_joining=form.is_joining))
    if lowered is None:
        raise InvalidGrammar("The schema allows no value that ever ends.")
    if form.is_spread:
        lowered = without_circles(dict(lowered))
    options = {**_spacing(whitespace_pattern), "json_allowed_escapes": _ESCAPES}
    return compact_json({**speakable(lowered), "x-guidance": options})


def _spacing(pattern: str | None) -> dict[str, object]:
    """The library's options; by default nothing but one optional space after a separator."""
    if pattern is None:
        return _SEPARATORS
    return {"whitespace_pattern": pattern} if pattern else {"whitespace_flexible": False}


def _without_end(bits: bytes, num_tokens: int) -> bytes:
    """Clear the bit of our own end token, which stands behind the last token."""
    if num_tokens % 8 == 0:
        return bits[: num_tokens // 8]
    last = num_tokens // 8
    return bits[:last] + bytes([bits[last] & (1 << num_tokens % 8) - 1])


def _check(matcher: LLMatcher, *, has_places: bool = False) -> None:
    """
    Args:
        has_places: lines and columns of the source are the caller's own.
    """
    if matcher.is_error():
        raise InvalidGrammar(sentence(matcher.get_error(), has_places=has_places))


def sentence(error: str, *, has_places: bool = False) -> str:
    """The library's words without the caller's text."""
    where = _PLACE.search(error)
    detail = re.search(r"error: (.*)", error)
    if "assertion failed" in error:
        return "The constraint is too complex for the library that makes its masks."
    first = detail[1] if detail else _PLACE.sub("", error.strip()).split("\n", 1)[0].split("; ")[0]
    words = _QUOTED.sub("…", first.removeprefix("failed to compile JSON schema: "))[:200].rstrip(". ")
    for theirs, ours in _OURS:
        words = theirs.sub(ours, words)
    plain = "".join(c if c.isprintable() else " " for c in words)
    return f"Line {where[1]}, column {where[2]}: {plain}." if where and has_places else f"{plain}."
