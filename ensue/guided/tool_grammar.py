"""The grammar of an answer that may call tools, in llguidance's dialect of Lark.

A rule for special tokens is followed by one for the text that they show: the same grammar can be read as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import JSON_KINDS, Constraint, compact_json
from ensue.tools import NO_PARAMETERS, CallFormat, Marker, Tool

ANSWER = "answer"  # begins the `param` of errors in what a text without calls must satisfy
UNSHOWN = "\ufffe"  # a noncharacter: in place of tokens that show no text
_TOKENS = re.compile(r"^.* // as text: (.*)$", re.MULTILINE)
_AS_TEXT = " // as text: "
_SPACES = r"[ \t\n\r]{0,4}"
# With this an answer without an opening begins to be a call; the parser reads no other.
_BARE_CALL = r'\s*\{\s*("name"\s*:\s*"|"type"\s*:\s*"function")'
_COMBINING = ("$ref", "allOf", "anyOf", "oneOf", "if", "not", "patternProperties", "propertyNames", "dependentSchemas")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What an answer may call.

    Args:
        indices: places of the tools in the request; errors name them.
        is_forced: nothing but calls may come.
        max_calls: in one answer.
        answer: the JSON that comes where no call does; None: any text, which calls may follow. For formats of which
            calls need an opening: any other is JSON itself.
    """

    format: CallFormat
    tools: Sequence[Tool]
    indices: Sequence[int]
    is_forced: bool
    max_calls: int
    answer: Constraint | None = None

    @property
    def constraint(self) -> Constraint:
        """
        Raises:
            InvalidGrammar: the tools are larger than a constraint may be.
        """
        tools = [(index, tool.name, tool.parameters) for index, tool in zip(self.indices, self.tools, strict=True)]
        fields = [asdict(self.format), tools, self.is_forced, self.max_calls, self._answer_schema]
        return Constraint("tools", compact_json(fields))

    @property
    def _answer_schema(self) -> Any:
        if self.answer is None:
            return None
        assert self.answer.kind in JSON_KINDS, "no other grammars can be part of this one"
        return json.loads(self.answer.text) if self.answer.text else {"type": "object"}


def tool_grammar(text: str, special_ids: frozenset[int], schema_source: Callable[[Any], str]) -> str:
    """
    Args:
        text: of a `ToolUse`'s constraint.
        schema_source: writes a schema as the library's grammars hold it.

    Raises:
        InvalidGrammar: `param` is the place, as in `[2].function.parameters.a` or `answer.properties.a`.
    """
    form, tools, is_forced, max_calls, answer = json.loads(text)
    rules = _Rules(_format(form), max_calls)
    json_answer = None if answer is None else _at(ANSWER, answer, schema_source)  # refused where nothing needs it, too
    if is_forced:
        lines = rules.forced()
    else:
        lines = rules.free(special_ids) if json_answer is None else rules.or_json(json_answer)
    names = [f"call_{index}" for index, _, _ in tools]
    calls = [rules.call(index, name) for index, name, _ in tools]
    arguments = [f"args_{index}: %json {_arguments(index, schema, schema_source)}" for index, _, schema in tools]
    return "\n".join([*lines, *rules.calls(), f"call: {' | '.join(names)}", *calls, *arguments])


def as_text(grammar: str) -> str:
    """The same grammar, for the text that the tokens show."""
    return _TOKENS.sub(lambda line: line[1], grammar)


class _Rules:
    """The rules of one format."""

    def __init__(self, form: CallFormat, max_calls: int) -> None:
        self._form = form
        self._more = max_calls - 1

    def forced(self) -> list[str]:
        """Nothing but calls."""
        return ["start: calls" if self._form.is_bare else "start: opening calls"]

    def free(self, special_ids: frozenset[int]) -> list[str]:
        """Any text that doesn't spell the opening; but what opens a call ends as calls."""
        form, opening = self._form, re.escape(self._form.opening.text)
        text = f"/(?s:.+)/ & ~/(?s:.*){opening}(?s:.*)/"
        no_call = f" & ~/{_BARE_CALL}(?s:.*)/" if form.is_bare else ""
        others = sorted(special_ids - {form.opening.token_id})
        rules = [f"TEXT: {text}", *_tokens("others", others, f"others: {json.dumps(UNSHOWN)}")]
        if form.is_bare:
            rules += [f"text: FIRST?{' (others TEXT?)*' if others else ''}", f"FIRST: {text}{no_call}"]
        else:
            rules += [f"text: (TEXT{' | others' if others else ''})*"]
        bare = " | calls" if form.is_bare else ""
        lazy = f"upto[lazy]: /(?s:.*){opening}/{no_call}"  # it ends as soon as it can: at the first opening
        if form.opening.token_id is not None:
            return [f"start: text | upto calls{bare}", *rules, f"upto: text opening{_AS_TEXT}{lazy}"]
        return ["start: text | calls", *rules] if form.is_bare else ["start: text | text upto calls", *rules, lazy]

    def or_json(self, schema: str) -> list[str]:
        """Calls, or JSON and nothing else."""
        assert not self._form.is_bare, "calls begin in a way that JSON does not"
        return ["start: answer | opening calls", f"answer: %json {schema}"]

    def calls(self) -> list[str]:
        """One call or more, after their first opening."""
        form = self._form
        gap = f"{_literal(form.gap)}? " if form.gap else ""
        rules = [_marker("opening", form.opening)]
        if isinstance(form.arguments, Marker):
            rules.append(_marker("marker", form.arguments))
        if form.call_id is not None:
            rules += [_marker("id_marker", form.call_id), "id: /[A-Za-z0-9]{9}/"]
        before = f'" "? {_literal(form.before)} ' if form.before else ""
        after = f" {_literal(form.after)}" if form.after else ""
        if form.between is None:
            return [*rules, f"calls: batch{self._repeated(gap + 'opening batch')}", f"batch: {before}call{after}"]
        return [*rules, f"calls: {before}call{self._repeated(_literal(form.between) + ' call')}{after}"]

    def call(self, index: int, name: str) -> str:
        form = self._form
        if isinstance(form.arguments, Marker):
            call_id = "(id_marker id)? " if form.call_id is not None else ""
            return f"call_{index}: {_literal(name)} {call_id}marker args_{index}"
        spaces = _SPACES if form.is_bare else " ?"
        kind = f'("type"{spaces}:{spaces}"function"{spaces},{spaces})?' if form.is_bare else ""
        start = f"{spaces if form.is_bare else ''}\\{{{spaces if form.is_bare else ''}{kind}"
        named = f'"name"{spaces}:{spaces}"{re.escape(name)}"{spaces},{spaces}"{form.arguments}"{spaces}:{spaces}'
        return f'call_{index}: /{start}{named}/ args_{index} "}}"'

    def _repeated(self, more: str) -> str:
        return f" ({more}){{0,{self._more}}}" if self._more else ""


def _format(fields: Mapping[str, Any]) -> CallFormat:
    markers = {name: Marker(**value) for name, value in fields.items() if isinstance(value, dict)}
    return CallFormat(**{**fields, **markers})


def _marker(name: str, marker: Marker) -> str:
    rule = f"{name}: {_literal(marker.text)}"
    return rule if marker.token_id is None else _tokens(name, [marker.token_id], rule)[0]


def _tokens(name: str, token_ids: Sequence[int], as_text: str) -> list[str]:
    """A rule for one of these tokens, where there are any."""
    return [f"{name}: <[{','.join(map(str, token_ids))}]>{_AS_TEXT}{as_text}"] if token_ids else []


def _literal(text: str) -> str:
    return json.dumps(text)


def _arguments(index: int, schema: Any, schema_source: Callable[[Any], str]) -> str:
    return _at(f"[{index}].function.parameters", schema, lambda given: schema_source(parameters_schema(given)))


def _at(place: str, schema: Any, schema_source: Callable[[Any], str]) -> str:
    """A schema's source; errors name the place."""
    try:
        return schema_source(schema)
    except InvalidGrammar as error:
        param = place if error.param is None else f"{place}{'' if error.param.startswith('[') else '.'}{error.param}"
        raise InvalidGrammar(error.message, param=param) from None


def parameters_schema(schema: Any) -> Any:
    """What a tool's arguments must satisfy: an object, with no others than the listed names where those are listed."""
    if schema is None:
        return NO_PARAMETERS
    if schema.get("type", "object") not in ("object", ["object"]):
        raise InvalidGrammar("Parameters must be an object: of type object.", param="type")
    closed = {"additionalProperties": False} if "properties" in schema and not _is_open(schema) else {}
    return {**schema, "type": "object", **closed}


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Whether more names may be given, or it is not for one keyword to say which."""
    return any(keyword in schema for keyword in ("additionalProperties", "unevaluatedProperties", *_COMBINING))
