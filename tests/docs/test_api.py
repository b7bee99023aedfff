"""docs/api.md: every field, with its range, default and an example that the parser takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import ensue.tiny
from ensue.api.bodies import (
    UNSERVED,
    UNSERVED_IN_CHAT,
    WITHOUT_EFFECT,
    Body,
    ChatBody,
    CompletionBody,
    DetokenizeBody,
    GenerationBody,
    TokenizeBody,
)
from ensue.api.fields import INT64, Boolean
from ensue.api.names import known, served
from ensue.api.params import Caller, chat_request, completion_request, read_body
from ensue.api.protocol import DetokenizeObject, TokenizeObject, TokenizerInfo
from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.errors import InvalidRequest
from ensue.served_models import ServedModel
from ensue.service.resolve import resolve
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from ensue.text.tool_format import tool_support

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
PROVIDERS_NAME = "meta-llama/Meta-Llama-3-8B-Instruct"
SHOWN_DEFAULTS = {
    "prompt": "required",
    "model": "the served model",
    "best_of": "`n`",
    "suffix": "none",
    "truncation_side": "left",
    "seed": "none",
    "priority": "the key's",
}
SHOWN_DEFAULTS_OF_CHATS = {
    "messages": "required",
    "tool_choice": "auto",
    "max_tokens": "what the context leaves",
    "max_completion_tokens": "what the context leaves",
}
LIMITED = {
    "messages": "max_messages",
    "tools": "max_tools",
    "top_logprobs": "max_logprobs",
    "n": "max_n",
    "best_of": "max_best_of",
    "prompt": "max_prompts",
    "logprobs": "max_logprobs",
    "prompt_logprobs": "max_logprobs",
    "stop": "max_stop_strings",
    "stop_token_ids": "max_stop_token_ids",
    "allowed_token_ids": "max_allowed_token_ids",
    "logit_bias": "max_logit_bias",
    "bad_words": "max_bad_words",
    "cache_salt": "max_cache_salt_length",
    "user": "max_user_length",
}
OF_COMPLETIONS = PAGE.partition("## Fields of a completion")[2].partition("## Chats")[0]
OF_CHATS = PAGE.partition("\n## Chats")[2].partition("\n## Tokens")[0]
OF_TOKENS = PAGE.partition("\n## Tokens")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```json(?: refused: (\w+))?\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def model() -> ServedModel:
    tokenizer = Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)
    engine = FakeEngine(logits_width=tokenizer.vocab_size)
    engine.info = replace(engine.info, unsupported=())
    template = ChatTemplate(tokenizer.chat_template or "", tokenizer.special_tokens)
    support = tool_support(template, tokenizer, None)
    return ServedModel("ensue-tiny", engine, tokenizer, LimitsConfig(), "tiny", 0, (PROVIDERS_NAME,), template, support)


def check(body: dict[str, Any], model: ServedModel) -> None:
    """Everything that is checked before an engine is asked."""
    parsed, _ = read_body(CompletionBody, body, "refuse", model.limits)
    assert parsed.model in (None, *model.names)
    resolve(completion_request(parsed, model, Caller(), request_id="r"), model.tokenizer, model.engine.info)


def row_of(name: str, part: str) -> list[str]:
    """The cells of a field's row: default, range, example, meaning."""
    rows = [line for line in part.splitlines() if line.startswith(f"| `{name}` |") and line.count(" | ") == 4]
    assert len(rows) == 1, f"{name} has one row"
    return [cell.strip() for cell in rows[0].removesuffix("|").split(" | ")[1:]]


def shown_default(field: Field[Any]) -> str:
    default = next((value for value in (field.default, *field.metadata["neutral"]) if value is not None), None)
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) if isinstance(default, int | float) else "none"


@pytest.mark.parametrize("field", fields(CompletionBody), ids=lambda field: field.name)
def test_a_field_is_documented_with_default_range_and_example(field: Field[Any], model: ServedModel) -> None:
    default, range_, example, meaning = row_of(field.name, OF_COMPLETIONS)
    assert default == SHOWN_DEFAULTS.get(field.name, shown_default(field))
    assert meaning
    assert f'"{field.name}":' in example
    check({"prompt": "x"} | json.loads("{" + example.strip("`") + "}"), model)
    assert all(bound in range_ for bound in bounds_of(field)), range_


def bounds_of(field: Field[Any]) -> Iterator[str]:
    """What the range must name: the bounds of the kind, and the server's limit."""
    schema = field.metadata["kind"].schema
    for bound in (schema.get("minimum"), schema.get("maximum")):
        if bound is not None and bound not in INT64:
            yield f"{bound:g}".replace("-", "−")
    if field.name in LIMITED and not isinstance(field.metadata["kind"], Boolean):
        yield str(getattr(LimitsConfig(), LIMITED[field.name]))


@pytest.mark.parametrize("name", sorted(UNSERVED))
def test_a_field_that_is_not_served_is_named_with_what_asks_for_nothing(name: str) -> None:
    part = OF_COMPLETIONS.partition("### Known and not served")[2]
    row = next(line for line in part.splitlines() if f"`{name}`" in line.split(" | ")[0])
    neutral = re.findall(r"`(.*)`", row.split(" | ")[1])
    assert [json.loads(value) for value in neutral] == list(UNSERVED[name])


OF_CHATS_ALONE = [f for f in fields(ChatBody) if f not in fields(GenerationBody)]


@pytest.mark.parametrize("field", OF_CHATS_ALONE, ids=lambda field: field.name)
def test_a_field_of_a_chat_is_documented_with_default_range_and_example(field: Field[Any], model: ServedModel) -> None:
    default, range_, example, meaning = row_of(field.name, OF_CHATS)
    assert default == SHOWN_DEFAULTS_OF_CHATS.get(field.name, shown_default(field))
    assert meaning
    assert f'"{field.name}":' in example
    body = {"messages": [{"role": "user", "content": "x"}]} | json.loads("{" + example.strip("`") + "}")
    parsed, _ = read_body(ChatBody, body, "refuse", model.limits)
    resolve(chat_request(parsed, model, Caller(), request_id="r"), model.tokenizer, model.engine.info)
    assert all(bound in range_ for bound in bounds_of(field)), range_


def test_no_field_of_a_chat_is_documented_that_nobody_knows() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|.* \| .* \| .* \|", OF_CHATS, re.MULTILINE))
    assert documented == {f.name for f in OF_CHATS_ALONE}


@pytest.mark.parametrize("name", UNSERVED_IN_CHAT)
def test_a_field_that_chats_do_not_serve_is_named_with_what_asks_for_nothing(name: str) -> None:
    row = next(line for line in OF_CHATS.splitlines() if line.startswith("| `") and f"`{name}`" in line.split(" | ")[0])
    neutral = re.findall(r"`([^`]*)`", row.split(" | ")[1])
    assert [json.loads(value) for value in neutral] == list(UNSERVED_IN_CHAT[name])


@pytest.mark.parametrize("body", [TokenizeBody, DetokenizeBody])
def test_the_fields_of_the_tokenizer_routes_are_named(body: type[Body]) -> None:
    assert served(body) <= set(re.findall(r"`(\w+)`", OF_TOKENS))
    limits = LimitsConfig()
    assert all(f"{limit:,}" in OF_TOKENS for limit in (limits.max_tokenize_chars, limits.max_detokenize_tokens))


@pytest.mark.parametrize("answer", [TokenizeObject, DetokenizeObject, TokenizerInfo])
def test_the_answers_of_the_tokenizer_routes_are_named(answer: type[msgspec.Struct]) -> None:
    assert set(answer.__struct_fields__) <= set(re.findall(r"`(\w+)`", OF_TOKENS))


def test_fields_without_effect_are_named() -> None:
    part = PAGE.partition("Accepted without effect")[2].partition("###")[0]
    assert set(re.findall(r"`(\w+)`", part)) == set(WITHOUT_EFFECT)


def test_no_field_is_documented_that_nobody_knows() -> None:
    part = OF_COMPLETIONS.partition("### Known")[0]
    assert set(re.findall(r"^\| `(\w+)`", part, re.MULTILINE)) == served(CompletionBody)
    assert served(CompletionBody) < known(CompletionBody)


@pytest.mark.parametrize(("refused", "text"), BLOCKS, ids=lambda value: " ".join(value.split())[:50])
def test_an_example_is_taken_or_refused_as_it_says(refused: str, text: str, model: ServedModel) -> None:
    if not refused:
        check(json.loads(text), model)
        return
    with pytest.raises(InvalidRequest) as raised:
        check(json.loads(text), model)
    assert raised.value.param == refused


@pytest.mark.parametrize("text", re.findall(r"```json chat\n(.*?)```", PAGE, re.DOTALL))
def test_an_example_of_a_chat_is_taken(text: str, model: ServedModel) -> None:
    parsed, _ = read_body(ChatBody, json.loads(text), "refuse", model.limits)
    resolve(chat_request(parsed, model, Caller(), request_id="r"), model.tokenizer, model.engine.info)


def test_there_are_examples_of_both_kinds() -> None:
    assert len({bool(refused) for refused, _ in BLOCKS}) == 2
