"""The fields of guided decoding: their spellings, what contradicts what, what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ensue.api.bodies import CompletionBody
from ensue.api.guided import guided_of
from ensue.api.params import read_body
from ensue.config import LimitsConfig
from ensue.errors import InvalidRequest
from ensue.guided.constraint import Constraint
from ensue.service.guided import Guided

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"}}
OF_SCHEMA = Constraint.of_schema(SCHEMA)


def guided(**body: Any) -> Guided | None:
    return guided_of(read_body(CompletionBody, {"prompt": "x"} | body, "refuse", LimitsConfig())[0])


SPELLINGS: list[tuple[dict[str, Any], Constraint, str]] = [
    ({"guided_json": SCHEMA}, OF_SCHEMA, "guided_json"),
    ({"guided_json": json.dumps(SCHEMA, indent=2)}, OF_SCHEMA, "guided_json"),
    ({"guided_json": True}, Constraint.of_schema(True), "guided_json"),
    ({"response_format": FORMAT}, OF_SCHEMA, "response_format.json_schema.schema"),
    ({"structured_outputs": {"json": SCHEMA, "regex": None}}, OF_SCHEMA, "structured_outputs.json"),
    ({"guided_json": SCHEMA, "response_format": FORMAT, "structured_outputs": {}}, OF_SCHEMA, "guided_json"),
    ({"response_format": {"type": "json_object"}}, Constraint("json_object", ""), "response_format"),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, OF_SCHEMA, "response_format.schema"),
    ({"response_format": {"type": "json_object", "schema": json.dumps(SCHEMA)}}, OF_SCHEMA, "response_format.schema"),
    ({"structured_outputs": {"json_object": True}}, Constraint("json_object", ""), "structured_outputs.json_object"),
    ({"guided_regex": "a+"}, Constraint("regex", "a+"), "guided_regex"),
    ({"structured_outputs": {"regex": "a+"}}, Constraint("regex", "a+"), "structured_outputs.regex"),
    ({"guided_choice": ["a", "b", "a"]}, Constraint.of_choices(("a", "b")), "guided_choice"),
    ({"structured_outputs": {"choice": ["a"]}}, Constraint.of_choices(("a",)), "structured_outputs.choice"),
    ({"guided_grammar": 'start: "a"'}, Constraint("grammar", 'start: "a"'), "guided_grammar"),
    (
        {"structured_outputs": {"grammar": "root ::= [a]"}},
        Constraint("grammar", "root ::= [a]"),
        "structured_outputs.grammar",
    ),
    ({"guided_json": {}, "guided_whitespace_pattern": " ?"}, Constraint.of_schema({}, " ?"), "guided_json"),
    (
        {"structured_outputs": {"json": {}, "disable_any_whitespace": True, "disable_fallback": True}},
        Constraint.of_schema({}, ""),
        "structured_outputs.json",
    ),
    (
        {"structured_outputs": {"json": {}, "disable_any_whitespace": False, "disable_additional_properties": False}},
        Constraint.of_schema({}),
        "structured_outputs.json",
    ),
    (
        {"guided_json": {}, "guided_decoding_backend": "auto:no-fallback,disable-any-whitespace"},
        Constraint.of_schema({}, ""),
        "guided_json",
    ),
    (
        {"guided_regex": "a", "guided_decoding_backend": "guidance:no-fallback"},
        Constraint("regex", "a"),
        "guided_regex",
    ),
]


@pytest.mark.parametrize(("body", "constraint", "field"), SPELLINGS, ids=[str(s[0])[:50] for s in SPELLINGS])
def test_spellings_of_a_constraint(body: dict[str, Any], constraint: Constraint, field: str) -> None:
    found = guided(**body)
    assert found is not None
    assert (found.constraint, found.field) == (constraint, field)


@pytest.mark.parametrize(
    "body", [{}, {"response_format": {"type": "text"}}, {"structured_outputs": {}}, {"guided_decoding_backend": "auto"}]
)
def test_what_constrains_nothing(body: dict[str, Any]) -> None:
    assert guided(**body) is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"guided_json": SCHEMA, "guided_regex": "a"}, "guided_regex"),
    ({"guided_json": SCHEMA, "response_format": {"type": "json_object"}}, "response_format"),
    ({"structured_outputs": {"json": SCHEMA, "choice": ["a"]}}, "structured_outputs.choice"),
    ({"guided_json": "{"}, "guided_json"),
    ({"guided_json": '{"a": 1, "a": 2}'}, "guided_json"),
    ({"guided_json": "[]"}, "guided_json"),
    ({"guided_json": 5}, "guided_json"),
    ({"guided_json": "x" * 70_000}, "guided_json"),
    ({"guided_regex": 5}, "guided_regex"),
    ({"guided_regex": "a" * 8193}, "guided_regex"),
    ({"guided_choice": []}, "guided_choice"),
    ({"guided_choice": "a"}, "guided_choice"),
    ({"guided_choice": ["a", 1]}, "guided_choice[1]"),
    ({"guided_grammar": ["a"]}, "guided_grammar"),
    ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern"),
    ({"guided_whitespace_pattern": " ", "guided_regex": "a"}, "guided_whitespace_pattern"),
    ({"structured_outputs": {"whitespace_pattern": " "}}, "structured_outputs.whitespace_pattern"),
    (
        {"guided_json": {}, "guided_whitespace_pattern": " ", "structured_outputs": {"whitespace_pattern": "\t"}},
        "structured_outputs.whitespace_pattern",
    ),
    ({"guided_decoding_backend": "lm-format-enforcer", "guided_regex": "a"}, "guided_decoding_backend"),
    ({"guided_decoding_backend": "auto:fast", "guided_regex": "a"}, "guided_decoding_backend"),
    ({"guided_decoding_backend": "jsonformer"}, "guided_decoding_backend"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "response_format.json_schema.schema"),
    ({"response_format": {"type": "json_object", "schema": 1}}, "response_format.schema"),
    ({"response_format": {"type": "text", "schema": {}}}, "response_format.schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"strict": 1, "schema": {}}}},
        "response_format.json_schema.strict",
    ),
    ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag"),
    (
        {"structured_outputs": {"json": {}, "disable_additional_properties": True}},
        "structured_outputs.disable_additional_properties",
    ),
    (
        {"structured_outputs": {"json": {}, "disable_any_whitespace": True, "whitespace_pattern": " "}},
        "structured_outputs.disable_any_whitespace",
    ),
    (
        {"structured_outputs": {"regex": "a", "disable_any_whitespace": True}},
        "structured_outputs.disable_any_whitespace",
    ),
    ({"guided_json": {}, "guided_decoding_backend": "auto:no-additional-properties"}, "guided_decoding_backend"),
    ({"structured_outputs": {"json_object": 1}}, "structured_outputs.json_object"),
    ({"structured_outputs": {"choice": ["a", None]}}, "structured_outputs.choice[1]"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=[str(w[0])[:60] for w in WRONG])
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        guided(**body)
    assert caught.value.param == param


@pytest.mark.parametrize("name", ["xgrammar", "outlines"])
def test_a_backend_that_is_not_installed_is_refused_with_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensue.api.guided.is_installed", lambda wanted: wanted == "llguidance")
    with pytest.raises(InvalidRequest, match=re.escape(f"pip install 'ensue[{name}]'")) as caught:
        guided(guided_regex="a", guided_decoding_backend=name)
    assert caught.value.param == "guided_decoding_backend"
    assert guided(guided_regex="a", guided_decoding_backend="guidance:no-fallback")


@pytest.mark.parametrize("name", ["xgrammar", "outlines"])
def test_a_backend_that_is_installed_is_the_one_that_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensue.api.guided.is_installed", lambda _: True)
    for suffix in ("", ":no-fallback"):
        found = guided(guided_regex="a", guided_decoding_backend=name + suffix)
        assert found is not None
        assert found.constraint.backend == name


def test_an_unknown_backend_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(InvalidRequest, match="llguidance, xgrammar or outlines"):
        guided(guided_regex="a", guided_decoding_backend="lm-format-enforcer")
