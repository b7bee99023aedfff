"""Guided decoding on the running server: whatever is asked for besides, a text that stops satisfies its constraint."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import lark
import pytest

from tests.product.server import Server

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
BASE = {"prompt": "Tell me about", "max_tokens": 80, "temperature": 2, "n": 4, "seed": 3}
BESIDES: list[dict[str, Any]] = [
    {},
    {"temperature": 0, "n": 1},
    {"best_of": 6, "n": 2},
    {"logit_bias": {"5": 100, "6": 100, "7": 100}},
    {"frequency_penalty": 2, "presence_penalty": -2, "repetition_penalty": 1.7},
    {"min_tokens": 70},
    {"ignore_eos": True},
    {"stop": ["a", "}", '"'], "include_stop_str_in_output": True},
    {"echo": True, "logprobs": 1},
    {"top_k": 3, "top_p": 0.5, "min_p": 0.01},
]
EXAMPLES = Path(__file__).parents[2] / "examples" / "grammars"


def stopped(server: Server, body: dict[str, Any]) -> list[str]:
    """The completions that stopped, without an echo."""
    body = {**BASE, **body}
    prompt = body["prompt"] if body.get("echo") else ""
    choices = server.post(body)["choices"]
    return [c["text"].removeprefix(prompt) for c in choices if c["finish_reason"] == "stop"]


@pytest.mark.parametrize("besides", BESIDES, ids=lambda body: " ".join(body))
def test_json_satisfies_its_schema_whatever_is_asked_for_besides(server: Server, besides: dict[str, Any]) -> None:
    texts = stopped(server, {"guided_json": SCHEMA, **besides})
    assert texts
    for text in texts:
        jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize("besides", BESIDES, ids=lambda body: " ".join(body))
def test_a_regex_matches_whatever_is_asked_for_besides(server: Server, besides: dict[str, Any]) -> None:
    texts = stopped(server, {"guided_regex": "[a-z]{3,6}( [a-z]{2}){1,3}!?", **besides})
    assert texts
    assert all(re.fullmatch("[a-z]{3,6}( [a-z]{2}){1,3}!?", text) for text in texts)


@pytest.mark.parametrize("besides", BESIDES, ids=lambda body: " ".join(body))
def test_a_choice_is_one_of_the_strings(server: Server, besides: dict[str, Any]) -> None:
    choices = ["yes", "no", "a cat", "a cattle", ""]
    texts = stopped(server, {"guided_choice": choices, **besides})
    assert texts
    assert set(texts) <= set(choices)


@pytest.mark.parametrize("name", ["sql.lark", "arithmetic.gbnf", "chess.gbnf", "json.lark"])
def test_a_grammars_texts_parse(server: Server, name: str) -> None:
    parser = lark.Lark((EXAMPLES / name).with_suffix(".lark").read_text(), parser="earley", lexer="dynamic")
    grammar = (EXAMPLES / name).read_text()
    for text in stopped(server, {"guided_grammar": grammar, "temperature": 1, "max_tokens": 120}):
        parser.parse(text)


def test_a_stream_says_the_same(server: Server) -> None:
    body = {**BASE, "n": 1, "guided_json": SCHEMA}
    (whole,) = server.post(body)["choices"]
    events = server.events({**body, "stream": True})
    assert "".join(choice["text"] for event in events for choice in event["choices"]) == whole["text"]
    assert events[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


def test_a_seed_gives_the_same_texts(server: Server) -> None:
    body = {**BASE, "guided_json": SCHEMA}
    first, second = server.post(body), server.post(body)
    assert first["choices"] == second["choices"]
    assert first["usage"]["completion_tokens"] == second["usage"]["completion_tokens"]


def test_a_complete_text_ends_at_once(server: Server) -> None:
    body = {**BASE, "guided_regex": "abc", "ignore_eos": True, "min_tokens": 50, "return_token_ids": True, "n": 1}
    answer = server.post(body)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("abc", "stop", None)
    assert answer["usage"]["completion_tokens"] == len(choice["token_ids"]) <= 3


def test_masks_that_leave_nothing_end_with_length(server: Server) -> None:
    body = {**BASE, "guided_regex": "[0-9]+", "allowed_token_ids": [5], "n": 1}
    (choice,) = server.post(body)["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("length", "no_token_left")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"guided_json": {"properties": {"a": {"pattern": "(?=x)"}}}}, "guided_json.properties.a.pattern"),
        ({"guided_json": {"type": "integer", "minimum": 2, "maximum": 1}}, "guided_json"),
        ({"guided_regex": "(.{1,1000}){1,1000}"}, "guided_regex"),
        ({"guided_grammar": 'start: "a" start'}, "guided_grammar"),
        ({"guided_json": {}, "guided_whitespace_pattern": "x"}, "guided_whitespace_pattern"),
    ],
)
def test_impossible_constraints_are_refused_before_anything_is_generated(
    server: Server, body: dict[str, Any], param: str
) -> None:
    status, answer = server.answer({**BASE, **body})
    error = answer["error"]
    assert (status, error["code"], error["param"]) == (400, "invalid_grammar", param)
