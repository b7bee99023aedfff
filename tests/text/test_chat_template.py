"""Templates render as transformers renders them, and stay in their sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from ensue.errors import InvalidRequest, ModelError
from ensue.text.chat_template import ChatTemplate
from tests.text.conftest import byte_level

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}\n  {% if message.role == 'user' %}"
    "[INST] {{ message.content }} [/INST]"
    "{% else %}{{ message.content }}{{ eos_token }}{% endif %}\n{% endfor %}{{ messages | tojson }}"
)
TOOLS = (
    "{%- for tool in tools or [] %}\n    {{ tool | tojson(indent=2) }}\n{% endfor %}{% for m in messages %}"
    "{% if loop.last %}{% break %}{% endif %}{% generation %}{{ m.content }}{% endgeneration %}\n{%- endfor %}"
)
MESSAGES = [
    {"role": "system", "content": "Be <brief> & kind."},
    {"role": "user", "content": "Hé 'you' "},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Why?"},
]
TOOL = {"type": "function", "function": {"name": "näme<>", "parameters": {"type": "object"}}}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("source", [CHATML, LLAMA3, MISTRAL, TOOLS])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_rendering_equals_transformers(source: str, add_generation_prompt: bool) -> None:
    reference = PreTrainedTokenizerFast(tokenizer_object=byte_level(), **SPECIAL)  # type: ignore[no-untyped-call]
    expected = reference.apply_chat_template(
        MESSAGES, [TOOL], chat_template=source, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    template = ChatTemplate(source, SPECIAL)
    assert template.render(MESSAGES, add_generation_prompt=add_generation_prompt, tools=[TOOL]) == expected


OPEN_ENDS = ["I am ", "I am", " \n two\nlines \n"]


@pytest.mark.parametrize("content", OPEN_ENDS)
@pytest.mark.parametrize("source", [CHATML, LLAMA3, MISTRAL.removesuffix("{{ messages | tojson }}")])
def test_an_open_end_equals_transformers(source: str, content: str) -> None:
    reference = PreTrainedTokenizerFast(tokenizer_object=byte_level(), **SPECIAL)  # type: ignore[no-untyped-call]
    messages = [MESSAGES[1], {"role": "assistant", "content": content}]
    expected = reference.apply_chat_template(
        messages, chat_template=source, tokenize=False, continue_final_message=True
    )
    assert ChatTemplate(source, SPECIAL).render(messages, continue_final_message=True) == expected


@pytest.mark.parametrize("source", ["{{ messages[0].content }}", "{{ messages[-1].content | upper }}", ""])
def test_an_end_that_the_template_does_not_show_cannot_be_open(source: str) -> None:
    with pytest.raises(InvalidRequest, match="doesn't show the end"):
        ChatTemplate(source, {}).render(MESSAGES, continue_final_message=True)


def test_a_message_without_text_cannot_be_open() -> None:
    with pytest.raises(InvalidRequest, match="no text"):
        ChatTemplate(CHATML, {}).render([{"role": "assistant", "content": None}], continue_final_message=True)


def test_a_template_that_refuses_is_the_callers_error() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        template.render(MESSAGES)


def refusal(source: str, messages: list[dict[str, str]]) -> str:
    with pytest.raises(InvalidRequest) as raised:
        ChatTemplate(source, {}).render(messages)
    assert raised.value.param == "messages"
    return raised.value.message


def test_a_refusal_has_the_templates_words_and_none_of_the_callers() -> None:
    source = "{{ raise_exception('Only user and assistant, got ' + messages[0].content) }}"
    message = refusal(source, [{"role": "user", "content": "a secret"}])
    assert "Only user and assistant, got" in message
    assert "secret" not in message


def test_a_message_without_what_the_template_reads_is_told_so() -> None:
    assert "they lack something" in refusal("{{ messages[0].content.text }}", [{"role": "user"}])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 'a' + 1 }}",
        "{{ 1 / 0 }}",
        "{{ '{a}'.format() }}",
        "{{ cycler().next() }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% include 'file' %}",
    ],
)
def test_what_fails_or_is_forbidden_is_the_callers_error(source: str) -> None:
    with pytest.raises(InvalidRequest):
        ChatTemplate(source, {}).render(MESSAGES)


@pytest.mark.parametrize("source", ["{% if %}", "{% break %}", "{{ '' | no_such_filter }}"])
def test_a_broken_template_is_refused_at_start(source: str) -> None:
    with pytest.raises(ModelError, match="not valid"):
        ChatTemplate(source, {})


def test_generation_tags_are_transparent() -> None:
    template = ChatTemplate("{% generation %}{{ messages[0].role }}{% endgeneration %}", {})
    assert template.render(MESSAGES) == "system"


CALLS = "{% for call in m.tool_calls or [] %}<call>{{ call.function.arguments | tojson }}{% endfor %}"
# What families do with a message that has calls and no content.
GAPS = {
    "prints it": "{{ m.content }}" + CALLS,
    "asks for the key": "{% if 'content' in m %}[{{ m.content }}]{% endif %}" + CALLS,
    "trims it": "{{ m.content | trim }}" + CALLS,
}
STRICTER_GAPS = {
    "compares it with null": "{% if m.content is none %}" + CALLS + "{% else %}{{ m.content + eos_token }}{% endif %}",
    "looks into it": "{% if '</think>' in m.content %}thought{% endif %}{{ m.content }}" + CALLS,
}
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "f", "arguments": {"city": "Rôme <x>"}}}
CALLING: list[dict[str, Any]] = [MESSAGES[1], {"role": "assistant", "content": None, "tool_calls": [CALL]}]


def for_each_message(body: str) -> str:
    return "{% for m in messages %}{{ m.role }}: " + body + "\n{% endfor %}"


@pytest.mark.parametrize("body", GAPS.values(), ids=GAPS)
def test_a_message_without_content_equals_transformers(body: str) -> None:
    source = for_each_message(body)
    reference = PreTrainedTokenizerFast(tokenizer_object=byte_level(), **SPECIAL)  # type: ignore[no-untyped-call]
    expected = reference.apply_chat_template(CALLING, chat_template=source, tokenize=False)
    assert ChatTemplate(source, SPECIAL).render(CALLING, add_generation_prompt=False) == expected


@pytest.mark.parametrize("body", [*GAPS.values(), *STRICTER_GAPS.values()], ids=[*GAPS, *STRICTER_GAPS])
def test_calls_without_content_are_shown_whatever_a_template_takes_for_none(body: str) -> None:
    shown = ChatTemplate(for_each_message(body), SPECIAL).render(CALLING)
    assert '<call>{"city": "Rôme <x>"}' in shown
    assert "None" not in shown


def test_a_tool_without_a_description_suits_a_template_that_counts_on_one() -> None:
    template = ChatTemplate("{% for t in tools %}{{ t.function.name + ': ' + t.function.description }}{% endfor %}", {})
    assert template.render(MESSAGES, tools=[TOOL]) == "näme<>: "


def test_reasoning_is_told_by_both_names() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.thinking }}{{ m.reasoning_content }}{% endfor %}", {})
    assert template.render([{"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}]) == "2 + 22 + 2"


@pytest.mark.parametrize(
    ("written", "is_text"),
    [
        ("{{ call.function.arguments | tojson }}", False),
        ("{% for name, value in call.function.arguments | items %}{{ name }}={{ value }}{% endfor %}", False),
        ("{{ call.function.arguments }}", True),
        ("{{ 'f ' + call.function.arguments }}", True),
        ("{{ call.function.name }}", False),
        ("{{ raise_exception('no calls') }}", False),
    ],
)
def test_a_template_that_copies_arguments_is_told_from_one_that_writes_them(written: str, is_text: bool) -> None:
    source = for_each_message("{% for call in m.tool_calls or [] %}" + written + "{% endfor %}")
    assert ChatTemplate(source, {}).reads_arguments_as_text is is_text
