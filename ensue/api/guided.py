"""The fields of guided decoding, in all their spellings, to one constraint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ensue.api import strict_json
from ensue.api.bodies import GenerationBody
from ensue.api.guided_fields import (
    BACKENDS,
    FORMATS,
    NAMED_SCHEMA,
    NO_WHITESPACE,
    STRUCTURED,
    SUFFIXES,
    UNSERVED_OPTIONS,
)
from ensue.errors import InvalidGrammar, InvalidRequest, UnknownParameter, UnsupportedParameter, shown
from ensue.guided.backends import is_installed
from ensue.guided.constraint import JSON_KINDS, MAX_GRAMMAR_BYTES, MAX_NESTING, BackendName, Constraint
from ensue.guided.constraint import Kind as ConstraintKind
from ensue.guided.tool_grammar import ToolUse
from ensue.served_models import ServedModel
from ensue.service.guided import Guided

WHITESPACE_FIELD = "guided_whitespace_pattern"


@dataclass(frozen=True, slots=True)
class _Found:
    """A constraint as one field says it."""

    field: str
    constraint: Constraint


def guided_of(body: GenerationBody) -> Guided | None:
    """What constrains the text; None where nothing does.

    Raises:
        InvalidRequest: malformed, or two fields that say different things.
    """
    found = [*_guided_fields(body), *_response_format(body), *_structured_outputs(body)]
    backend = _backend(body.guided_decoding_backend)
    pattern = _whitespace(body)
    if not found:
        if pattern is not None:
            raise InvalidRequest("A white space pattern needs a constraint on JSON.", param=pattern[0])
        return None
    first, *others = found
    for other in others:
        if other.constraint != first.constraint:
            raise InvalidRequest(f"{first.field} and {other.field} ask for different things.", param=other.field)
    field, spaces = (WHITESPACE_FIELD, None) if pattern is None else pattern
    if spaces is not None and first.constraint.kind not in JSON_KINDS:
        raise InvalidRequest("A white space pattern needs a constraint on JSON.", param=field)
    constraint = _at(field, lambda: replace(first.constraint, whitespace_pattern=spaces, backend=backend))
    return Guided(constraint, first.field, field)


def with_answer(use: ToolUse, other: Guided | None) -> ToolUse:
    """
    Args:
        other: what the fields of the request ask of the text.

    Raises:
        InvalidRequest: it is nothing that a text beside calls can be bound to.
        UnsupportedParameter: calls and answers look alike.
    """
    if other is None:
        return use
    if not other.field.startswith("response_format") or other.constraint.whitespace_pattern is not None:
        why = "a text that calls tools is constrained by them; response_format can"
        raise InvalidRequest(f"{other.field} cannot stand beside tools: {why}.", param=other.field)
    if use.format.is_bare and not use.is_forced:
        why = "this model's calls are JSON without a mark, as such an answer is; set tool_choice to required or none"
        raise UnsupportedParameter(f"response_format cannot stand beside tools here: {why}.", param="response_format")
    return replace(use, answer=other.constraint)


def guided_by_tools(body: GenerationBody, use: ToolUse, other: Guided | None, model: ServedModel) -> Guided | None:
    """What constrains an answer that may call tools; nothing where calls are free and nothing proves constraints.

    Args:
        other: what the fields of the request ask of the text.

    Raises:
        UnsupportedParameter: another backend is asked for.
    """
    if _backend(body.guided_decoding_backend) != "llguidance":
        field = "guided_decoding_backend"
        raise UnsupportedParameter("Calls of tools are constrained by llguidance alone.", param=field)
    if model.prover is None and not use.is_forced and use.max_calls > 1 and use.answer is None:
        return None
    guided = Guided(_at("tools", lambda: use.constraint), "tools")
    return guided if other is None else replace(guided, answer_field=other.field)


def _guided_fields(body: GenerationBody) -> Iterator[_Found]:
    if body.guided_json is not None:
        yield _json("guided_json", body.guided_json)
    if body.guided_regex is not None:
        yield _plain("guided_regex", "regex", body.guided_regex)
    if body.guided_choice is not None:
        yield _choice("guided_choice", body.guided_choice)
    if body.guided_grammar is not None:
        yield _plain("guided_grammar", "grammar", body.guided_grammar)


def _response_format(body: GenerationBody) -> Iterator[_Found]:
    value = body.response_format
    if value is None:
        return
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in FORMATS:
        raise InvalidRequest(
            "response_format.type must be text, json_object or json_schema.", param="response_format.type"
        )
    _refuse_unknown("response_format", value, ("type", *FORMATS[kind]))
    if kind == "json_object" and value.get("schema") is not None:  # as llama.cpp and MLC have it
        yield _json("response_format.schema", value["schema"])
    elif kind == "json_object":
        yield _Found("response_format", Constraint("json_object", ""))
    elif kind == "json_schema":
        yield _json_schema("response_format.json_schema", value.get("json_schema"))


def _json_schema(path: str, value: Any) -> _Found:
    """`strict` changes nothing: a schema always holds exactly."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object.", param=path)
    _refuse_unknown(path, value, NAMED_SCHEMA)
    for name, kind in NAMED_SCHEMA.items():
        if value.get(name) is not None:
            kind.parse(value[name], f"{path}.{name}")
    if value.get("schema") is None:
        raise InvalidRequest(f"{path}.schema is required.", param=f"{path}.schema")
    return _json(f"{path}.schema", value["schema"])


def _structured_outputs(body: GenerationBody) -> Iterator[_Found]:
    value = {name: item for name, item in (body.structured_outputs or {}).items() if item is not None}
    path = "structured_outputs."
    for name, instead in UNSERVED_OPTIONS.items():
        if value.pop(name, False) is not False:
            raise UnsupportedParameter(f"{path}{name} is not supported: {instead}.", param=path + name)
    _refuse_unknown("structured_outputs", value, STRUCTURED)
    given = {name: STRUCTURED[name].parse(item, path + name) for name, item in value.items()}
    if "json" in given:
        yield _json(path + "json", given["json"])
    if "regex" in given:
        yield _plain(path + "regex", "regex", given["regex"])
    if "choice" in given:
        yield _choice(path + "choice", given["choice"])
    if "grammar" in given:
        yield _plain(path + "grammar", "grammar", given["grammar"])
    if given.get("json_object"):
        yield _Found(path + "json_object", Constraint("json_object", ""))


def _json(field: str, value: Any) -> _Found:
    """A schema as an object, or as a text of JSON."""
    if isinstance(value, str):
        if len(value) > MAX_GRAMMAR_BYTES:
            raise InvalidGrammar(f"{field} may have at most {MAX_GRAMMAR_BYTES} bytes.", param=field)
        try:
            value = strict_json.parse(value.encode(), MAX_NESTING)
        except InvalidRequest:
            raise InvalidGrammar(f"{field} is a text that is not valid JSON.", param=field) from None
    if not isinstance(value, dict | bool):
        raise InvalidGrammar(f"{field} must be a JSON Schema, which is an object.", param=field)
    return _Found(field, _at(field, lambda: Constraint.of_schema(value)))


def _plain(field: str, kind: ConstraintKind, text: str) -> _Found:
    return _Found(field, _at(field, lambda: Constraint(kind, text)))


def _choice(field: str, choices: tuple[str, ...]) -> _Found:
    return _Found(field, _at(field, lambda: Constraint.of_choices(choices)))


def _at(field: str, make: Callable[[], Constraint]) -> Constraint:
    """Name the field in what a constraint says of itself."""
    try:
        return make()
    except InvalidGrammar as error:
        raise InvalidGrammar(error.message, param=field) from None


def _whitespace(body: GenerationBody) -> tuple[str, str] | None:
    """The pattern and the field that it came from."""
    found = list(_whitespace_patterns(body))
    for field, pattern in found[1:]:
        if pattern != found[0][1]:
            raise InvalidRequest(f"{found[0][0]} and {field} ask for different things.", param=field)
    return found[0] if found else None


def _whitespace_patterns(body: GenerationBody) -> Iterator[tuple[str, str]]:
    options = body.structured_outputs or {}
    if body.guided_whitespace_pattern is not None:
        yield WHITESPACE_FIELD, body.guided_whitespace_pattern
    if options.get("whitespace_pattern") is not None:
        yield "structured_outputs.whitespace_pattern", options["whitespace_pattern"]
    if options.get("disable_any_whitespace"):
        yield "structured_outputs.disable_any_whitespace", ""
    if NO_WHITESPACE in _suffixes(body.guided_decoding_backend):
        yield "guided_decoding_backend", ""


def _suffixes(backend: str) -> list[str]:
    return list(filter(None, backend.partition(":")[2].split(",")))


def _backend(text: str) -> BackendName:
    field = "guided_decoding_backend"
    name = text.partition(":")[0]
    if name not in BACKENDS:
        raise InvalidRequest(f"{field} must be auto, llguidance, xgrammar or outlines.", param=field)
    for suffix in _suffixes(text):
        if suffix not in SUFFIXES:
            known = " and ".join(SUFFIXES)
            raise InvalidRequest(f"{field} has no suffix {shown(suffix)}. Known: {known}.", param=field)
    if not is_installed(BACKENDS[name]):
        raise UnsupportedParameter(
            f"The backend {name} is not installed here: pip install 'ensue[{name}]', or use auto.", param=field
        )
    return BACKENDS[name]


def _refuse_unknown(path: str, value: dict[str, Any], known: Collection[str]) -> None:
    for name, item in value.items():
        if name not in known and item is not None:
            place = f"{path}.{shown(name)}"
            raise UnknownParameter(f"Unknown parameter `{place}`. Known: {', '.join(known)}.", param=place)
