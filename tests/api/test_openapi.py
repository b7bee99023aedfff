"""The description: valid, complete, and as exact as the parser. That answers fit it, all tests here check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ensue.api.bodies import BODIES, Body, ChatBody, CompletionBody, DetokenizeBody, TokenizeBody
from ensue.api.names import known
from ensue.api.openapi.errors import EXAMPLES
from ensue.api.tokenize import FOR_MESSAGES_ONLY
from ensue.config import LimitsConfig, ServerConfig
from ensue.store.keys import KeyStore
from tests.api.conftest import Api, MakeApi
from tests.api.described import Description, Json

PATHS: dict[type[Body], str] = {
    CompletionBody: "/v1/completions",
    ChatBody: "/v1/chat/completions",
    TokenizeBody: "/tokenize",
    DetokenizeBody: "/detokenize",
}
BASES: dict[type[Body], Json] = {
    CompletionBody: {"prompt": "x", "max_tokens": 1},
    ChatBody: {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
    TokenizeBody: {"prompt": "x"},
    DetokenizeBody: {"tokens": [5]},
}
TOOL = {"type": "function", "function": {"name": "f"}}
COMPANIONS: dict[str, Json] = {  # fields that are refused by themselves, whatever their value
    "stream_options": {"stream": True},
    "best_of": {"n": 1},
    "length_penalty": {"use_beam_search": True},
    "early_stopping": {"use_beam_search": True},
    "top_logprobs": {"logprobs": True},
    "tool_choice": {"tools": [TOOL]},
    "parallel_tool_calls": {"tools": [TOOL]},
    "min_tokens": {"max_tokens": 500},
    "guided_whitespace_pattern": {"guided_json": {}},
}
SMALL = LimitsConfig(
    max_best_of=128,
    max_stop_length=9,
    max_bad_word_length=8,
    max_user_length=7,
    max_messages=5,
    max_tokenize_chars=500,
    max_detokenize_tokens=60,
)
OF_OTHERS = (
    "context length",
    "at most max_tokens",
    "without echo",
    "guided decoding",
    "text that is not valid JSON",
    "JSON Schema, which",
)
AS_JSON = {"content-type": "application/json"}
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 16.0, 1.5, -2.0, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 1e300),
    *("", "x", "5", "x" * 6, "x" * 7, "x" * 8, "x" * 9, "x" * 10, "auto", "none", "never", "text", "required"),
    *([], [1], [1.0], [-1], [1.5], [True], ["x"], [""], ["x", 1], [[1]], [[]], [["x"]], [None], [{}], ["x" * 10]),
    *({}, {"1": 1}, {"x": 1}, {"1": 101}, {"1": "x"}, {"type": "text"}, {"type": "x"}, {"type": []}, {"json": {}}),
    *({"include_usage": True}, {"include_usage": 1}, {"include_usage": None}, {"x": None}, {"json_object": True}),
    *({"type": "json_schema", "json_schema": {"schema": {}}}, {"type": "json_schema"}, {"choice": ["a"]}),
    *([TOOL], [TOOL | {"x": 1}], [TOOL | {"type": "x"}], TOOL, [{"type": "function", "function": {"name": "a b"}}]),
    *([{"role": "user", "content": "x"}], [{"role": "x", "content": "x"}], [{"content": "x"}], [{"role": 1}]),
    *([{"role": "user", "content": []}], [{"role": "user", "content": ["x"]}], [{"role": "user", "content": 1}]),
    *([{"role": "user", "content": "x", "name": 1}], [{"role": "user", "content": "x", "audio": {"id": "a"}}]),
)


@pytest.fixture
def full(make_api: MakeApi, keys: KeyStore) -> Api:
    """With all routes."""
    return make_api(keys=keys, usage=keys._database)


async def described(api: Api) -> Description:
    return Description((await api.client.get("/openapi.json")).json())


async def test_the_description_is_valid_with_keys_and_without(full: Api, api: Api) -> None:
    for one in (full, api):
        validate((await described(one)).document)


async def test_every_route_is_described_with_its_key_and_scope(full: Api) -> None:
    operations = {(method, path): operation for method, path, operation in (await described(full)).operations()}
    assert operations["POST", "/v1/chat/completions"]["security"] == [{"bearer": ["chat"]}]
    assert operations["GET", "/v1/models/{model}"]["security"] == [{"bearer": []}]
    assert operations["GET", "/health"]["security"] == []
    assert {path for _, path in operations} >= {"/admin/keys/{key_id}/rotate", "/admin/audit", "/admin/usage"}
    assert all(operation["summary"] and operation["responses"] for operation in operations.values())
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)


async def test_another_method_is_told_those_of_all_routes_of_the_path(full: Api) -> None:
    response = await full.client.put("/admin/keys/key_x")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, PATCH")


async def test_every_status_of_an_error_is_shown_with_an_example_of_each_class(api: Api) -> None:
    responses = (await described(api)).document["components"]["responses"]
    shown = {name for response in responses.values() for name in response["content"]["application/json"]["examples"]}
    assert shown >= EXAMPLES.keys()


@pytest.mark.parametrize("body", BODIES)
async def test_bodies_have_the_fields_that_the_parser_knows(api: Api, body: type[Body]) -> None:
    schema = (await described(api)).document["components"]["schemas"][body.__name__]
    assert schema["properties"].keys() == known(body)
    assert schema["additionalProperties"] is False


async def test_unknown_fields_are_described_as_welcome_where_they_are(make_api: MakeApi) -> None:
    api = make_api(server=ServerConfig(unknown_parameters="warn"))
    assert (await described(api)).document["components"]["schemas"]["ChatBody"]["additionalProperties"] is True


async def test_every_field_of_bodies_and_answers_has_a_description(full: Api) -> None:
    for name, schema in (await described(full)).document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{name}.{field}"


async def test_examples_fit_their_schemas(full: Api) -> None:
    description = await described(full)
    for _, _, operation in description.operations():
        for media_type, content in contents(operation):
            check = description.check_stream if media_type == "text/event-stream" else description.check_value
            for example in content.get("examples", {}).values():
                check(content["schema"], example["value"])


def contents(operation: Json) -> Iterator[tuple[str, Json]]:
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for response in operation["responses"].values():
        yield from response.get("content", {}).items()


@pytest.mark.parametrize("body", BODIES)
async def test_examples_of_requests_are_answered(api: Api, body: type[Body]) -> None:
    operation = (await described(api)).document["paths"][PATHS[body]]["post"]
    for name, example in operation["requestBody"]["content"]["application/json"]["examples"].items():
        response = await api.client.post(PATHS[body], json=example["value"])
        assert response.status_code == 200 or "does not support" in response.text, name


# ---- exactness: what the schema takes, and nothing else, is taken

FIELDS = [(body, f.name) for body in BODIES for f in fields(body) if f.name != "model"]


@pytest.mark.parametrize(("body", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
async def test_a_field_takes_what_its_schema_says(make_api: MakeApi, body: type[Body], name: str) -> None:
    api = make_api(limits=SMALL)
    api.engine.info = replace(api.engine.info, unsupported=())
    description = await described(api)
    schema = description.document["components"]["schemas"][body.__name__]
    validator = description.validator(schema)
    for value in (*ODD, *borders(schema["properties"][name])):
        is_of_messages = name == "messages" or (body is TokenizeBody and name in FOR_MESSAGES_ONLY)
        base = BASES[body]
        if is_of_messages and value is not None:
            base = {name: given for name, given in BASES[ChatBody].items() if name in schema["properties"]}
        asked = base | COMPANIONS.get(name, {}) | {name: value}
        response = await api.client.post(PATHS[body], content=json.dumps(asked), headers=AS_JSON)
        is_taken = not is_refused_for(name, response)
        assert is_taken == is_valid(validator, asked, name), (value, response.text)


def is_valid(validator: Draft202012Validator, asked: Json, name: str) -> bool:
    """Whether a body's errors, if any, are others than in this field."""
    return all(name not in (error.path or [name]) for error in validator.iter_errors(asked))


def is_refused_for(name: str, response: httpx2.Response) -> bool:
    """Refused for what a value is, not for what it asks of this model or beside other fields."""
    if response.status_code == 200:
        return False
    error = response.json()["error"]
    is_own = (error["param"] or name).split(".")[0].split("[")[0] == name
    return is_own and not any(words in error["message"] for words in OF_OTHERS)


def borders(schema: Json) -> Iterator[Any]:
    """Values at the ends of what a schema names, and next to them."""
    for part in (schema, *schema.get("anyOf", ())):
        yield from (part[key] + step for key in ("minimum", "maximum") if key in part for step in (-1, 0, 1))
        yield from ("x" * (part["maxLength"] + step) for step in (0, 1) if "maxLength" in part)
        if "maxItems" in part and part["items"]["type"] in ("integer", "string"):
            item = 5 if part["items"]["type"] == "integer" else "x"
            yield from ([item] * (part["maxItems"] + step) for step in (0, 1))
