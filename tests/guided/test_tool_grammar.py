"""Answers that call tools, in every format: what the masks allow is what the parser reads, with arguments that fit."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache

import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.backend import PROVER
from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.tool_grammar import ToolUse, as_text
from ensue.guided.vocabulary import Vocabulary
from ensue.request import CompiledGrammar
from ensue.text.tool_calls import ToolCallParser
from ensue.tools import CallFormat, Marker, Tool
from tests.guided import walk
from tests.text.test_tool_calls import HERMES, LATER_MISTRAL, LLAMA, MISTRAL, WITH_IDS, joined

SPECIAL = ("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "<tool_call>")
FIRST_ID = len(walk.vocabulary().tokens)
VOCABULARY = Vocabulary(
    (*walk.vocabulary().tokens, *(token.encode() for token in SPECIAL)),
    walk.vocabulary().special_ids | {*range(FIRST_ID, FIRST_ID + len(SPECIAL))},
)

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer"}}}
TOOLS = (Tool("get", None, {**CITY, "required": ["city"]}), Tool("get-all"), Tool("any", None, {"type": "object"}))


def special(form: CallFormat) -> CallFormat:
    """The format for a model that has special tokens for its markers."""

    def marked(marker: Marker) -> Marker:
        return replace(marker, token_id=FIRST_ID + SPECIAL.index(marker.text))

    arguments = marked(form.arguments) if isinstance(form.arguments, Marker) else form.arguments
    return replace(form, opening=marked(form.opening), arguments=arguments)


PLAIN = [HERMES, LLAMA, MISTRAL, LATER_MISTRAL]
FORMATS = [*PLAIN, *map(special, PLAIN)]
NAMES = [f"{form}{end}" for end in ("", "-special") for form in ("hermes", "llama3", "mistral", "later")]
NAMED = list(zip(FORMATS, NAMES, strict=True))


@cache
def backend() -> LlguidanceBackend:
    return LlguidanceBackend(VOCABULARY, PROVER)


def compiled(
    form: CallFormat, *, is_forced: bool, max_calls: int = 3, answer: Constraint | None = None
) -> CompiledGrammar:
    use = ToolUse(form, TOOLS, range(len(TOOLS)), is_forced, max_calls, answer)
    return backend().compile(use.constraint)


def tokens_of(text: str) -> list[int]:
    """Special tokens where a text spells one, else bytes."""
    ids: list[int] = []
    while text:
        token = next((token for token in SPECIAL if text.startswith(token)), text[0])
        by_bytes = [VOCABULARY.tokens.index(bytes([byte])) for byte in token.encode()]
        ids += [FIRST_ID + SPECIAL.index(token)] if token in SPECIAL else by_bytes
        text = text[len(token) :]
    return ids


def allows(grammar: CompiledGrammar, text: str, form: CallFormat) -> bool:
    """Whether a text may be written and then end."""
    matcher = backend().load(grammar)
    is_special = form.opening.token_id is not None
    for token_id in tokens_of(text) if is_special else [VOCABULARY.tokens.index(bytes([b])) for b in text.encode()]:
        if token_id not in walk.allowed(matcher):
            return False
        matcher.accept(token_id)
    return matcher.is_accepting


def calls_of(form: CallFormat, text: str) -> tuple[str, list[tuple[str, str]]]:
    parser = ToolCallParser(form)
    return joined([*parser.feed(text), *parser.flush()])


def assert_fits(name: str, arguments: str) -> None:
    value = json.loads(arguments)
    assert isinstance(value, dict)
    if name == "get":
        assert value["city"] in ("Rome", "Oslo")
        assert value.keys() <= {"city", "days"}
        assert isinstance(value.get("days", 0), int)
    elif name == "get-all":
        assert value == {}


def random_text(grammar: CompiledGrammar, seed: int) -> str | None:
    noise, matcher, text = random.Random(seed), backend().load(grammar), b""
    for _ in range(150):
        ids = walk.allowed(matcher)
        if matcher.is_accepting and (not ids or noise.random() < 1 / 3):
            return text.decode()
        marks = [i for i in ids if not VOCABULARY.tokens[i].strip().isalpha()]
        token_id = noise.choice(marks if marks and noise.random() < 2 / 3 else ids)
        matcher.accept(token_id)
        text += VOCABULARY.tokens[token_id]
    return None


@pytest.mark.parametrize("form", FORMATS, ids=NAMES)
def test_a_forced_answer_is_calls_with_arguments_that_fit(form: CallFormat) -> None:
    grammar = compiled(form, is_forced=True)
    texts = [text for seed in range(12) if (text := random_text(grammar, seed)) is not None]
    assert texts
    for text in texts:
        content, calls = calls_of(form, text)
        assert (content, 1 <= len(calls) <= 3) == ("", True)
        for name, arguments in calls:
            assert_fits(name, arguments)


CALL = {
    "hermes": '<tool_call>\n{"name": "get", "arguments": {"city": "Rome"}}\n</tool_call>',
    "llama3": '{"name": "get", "parameters": {"city": "Rome"}}',
    "mistral": '[TOOL_CALLS][{"name": "get", "arguments": {"city": "Rome"}}]',
    "later": '[TOOL_CALLS]get[ARGS]{"city": "Rome"}',
}
OPENED = {"llama3": '<|python_tag|>{"name": "get", "parameters": {"city": "Rome"}}'}


@pytest.mark.parametrize(("form", "name"), NAMED, ids=NAMES)
def test_a_free_answer_is_text_until_it_opens_a_call(form: CallFormat, name: str) -> None:
    grammar, call = compiled(form, is_forced=False), CALL[name.removesuffix("-special")]
    for text in ("", "Hi.\n", "{}", '{"name', '{"city": "Rome"}', "<tool_cal", "é🦊 []"):
        assert allows(grammar, text, form), text
    assert allows(grammar, call, form)
    assert not allows(grammar, call + ".", form)
    assert not allows(grammar, call.replace("Rome", "Bonn"), form)
    assert not allows(grammar, call.replace('"city"', '"town"'), form)
    assert not allows(grammar, call[:-1], form)
    if not form.is_bare:
        assert allows(grammar, f"I look. {call}", form)


@pytest.mark.parametrize("form", [LLAMA, special(LLAMA)], ids=["plain", "special"])
def test_an_answer_begins_with_a_bare_call_or_with_none(form: CallFormat) -> None:
    grammar, has_token = compiled(form, is_forced=False), form.opening.token_id is not None
    assert allows(grammar, OPENED["llama3"], form) == has_token
    assert allows(grammar, "I look." + OPENED["llama3"], form) == has_token
    assert allows(grammar, 'So: {"name": "Ann"}', form)
    assert not allows(grammar, '{"name": "Ann"}', form)
    assert not allows(grammar, ' {"name":"Ann"}', form)
    assert not allows(grammar, '{"type": "function"}', form)
    assert allows(grammar, '{"type": "function", "name": "get-all", "parameters": {}}', form)
    assert allows(grammar, '{"name": "get-all", "parameters": {}}; {"name": "get-all", "parameters": {}}', form)


@pytest.mark.parametrize(("form", "name"), NAMED, ids=NAMES)
def test_there_are_no_more_calls_than_are_allowed(form: CallFormat, name: str) -> None:
    call = CALL[name.removesuffix("-special")]
    two = {"llama3": f"{call}; {call}", "mistral": f"{call[:-1]}, {call[13:]}", "later": call + call}
    both = two.get(name.removesuffix("-special"), f"{call}\n{call}")
    assert allows(compiled(form, is_forced=True), both, form)
    assert not allows(compiled(form, is_forced=True, max_calls=1), both, form)
    assert allows(compiled(form, is_forced=True, max_calls=1), call, form)


ANSWER = Constraint.of_schema({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})


MARKED = [(form, name) for form, name in NAMED if not form.is_bare]


@pytest.mark.parametrize(("form", "name"), MARKED, ids=[name for _, name in MARKED])
def test_an_answer_is_json_or_calls_and_never_both(form: CallFormat, name: str) -> None:
    grammar, call = compiled(form, is_forced=False, answer=ANSWER), CALL[name.removesuffix("-special")]
    text = '{"name": "Ann"}'
    for whole in (text, '{"name":"<tool_call>{}", "age": 7}', call):
        assert allows(grammar, whole, form) or "<tool_call>" in whole, whole  # a special token is no text
    for bad in ("", "Hi.", "{}", '{"name": 7}', text + call, call + text, f"Hi. {call}", call.replace("Rome", "Bonn")):
        assert not allows(grammar, bad, form), bad
    assert read_either(form, text) == (text, [])
    assert [called for called, _ in read_either(form, call)[1]] == ["get"]


def read_either(form: CallFormat, text: str) -> tuple[str, list[tuple[str, str]]]:
    parser = ToolCallParser(form, is_either=True)
    return joined([piece for character in text for piece in parser.feed(character)] + parser.flush())


@pytest.mark.parametrize(("form", "name"), MARKED, ids=[name for _, name in MARKED])
def test_any_object_may_be_the_json_that_an_answer_is(form: CallFormat, name: str) -> None:
    grammar = compiled(form, is_forced=False, answer=Constraint("json_object", ""))
    assert allows(grammar, '{"city": ["Rome"]}', form)
    assert not allows(grammar, "[]", form)
    assert not allows(compiled(form, is_forced=True, answer=Constraint("json_object", "")), "{}", form)


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_bad_schema_of_an_answer_is_refused_at_its_place(is_forced: bool) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        compiled(HERMES, is_forced=is_forced, answer=Constraint.of_schema({"items": {"$dynamicRef": "#none"}}))
    assert caught.value.param == "answer.items.$dynamicRef"


def test_a_call_may_have_an_id_of_nine_characters() -> None:
    grammar = compiled(WITH_IDS, is_forced=True)
    for call_id, is_allowed in (("", True), ("[CALL_ID]abc123XYZ", True), ("[CALL_ID]abc", False)):
        assert allows(grammar, f"[TOOL_CALLS]get-all{call_id}[ARGS]{{}}", WITH_IDS) is is_allowed


@pytest.mark.parametrize("form", list(map(special, PLAIN)), ids=NAMES[4:])
def test_a_grammar_with_special_tokens_can_be_read_as_text(form: CallFormat) -> None:
    """As the check of stop strings does, which sees no tokens."""
    source = compiled(form, is_forced=False).payload.decode()
    text = as_text(source)
    assert "<[" in source
    assert "<[" not in text
    grammar = CompiledGrammar("llguidance", text.encode(), b"")
    plain = PLAIN[FORMATS.index(form) - len(PLAIN)]
    call = CALL[NAMES[PLAIN.index(plain)]]
    assert allows(grammar, call, plain)
    assert allows(grammar, "Well.", plain)
    assert not allows(grammar, call[:-1], plain)
    if not form.is_bare:
        assert allows(grammar, f"Well. {call}", plain)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        (
            {"type": "object", "properties": {"a": {"$dynamicRef": "#none"}}},
            "[7].function.parameters.properties.a.$dynamicRef",
        ),
        ({"type": "string"}, "[7].function.parameters.type"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "[7].function.parameters"),
    ],
)
def test_bad_parameters_are_refused_at_their_place(parameters: object, param: str) -> None:
    use = ToolUse(HERMES, [Tool("f", None, parameters)], [7], is_forced=True, max_calls=1)  # type: ignore[arg-type]
    with pytest.raises(InvalidGrammar) as caught:
        backend().compile(use.constraint)
    assert caught.value.param == param
