"""Templates render as transformers renders them, and stay in their sandbox."""

from __future__ import annotations

import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

from ensue.errors import InvalidRequest, ModelError
from ensue.text.chat_template import ChatTemplate

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
MESSAGES = [
    {"role": "system", "content": "Be <brief> & kind."},
    {"role": "user", "content": "Hé 'you' "},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Why?"},
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("source", [CHATML, LLAMA3, MISTRAL])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_rendering_equals_transformers(backend: tokenizers.Tokenizer, source: str, add_generation_prompt: bool) -> None:
    reference = PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL)  # type: ignore[no-untyped-call]
    expected = reference.apply_chat_template(
        MESSAGES, chat_template=source, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    template = ChatTemplate(source, SPECIAL)
    assert template.render(MESSAGES, add_generation_prompt=add_generation_prompt) == expected


def test_a_template_that_refuses_is_the_callers_error() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        template.render(MESSAGES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 'a' + 1 }}",
    ],
)
def test_what_a_sandbox_forbids_is_an_error(source: str) -> None:
    with pytest.raises(InvalidRequest):
        ChatTemplate(source, {}).render(MESSAGES)


def test_a_broken_template_is_refused_at_start() -> None:
    with pytest.raises(ModelError, match="not valid"):
        ChatTemplate("{% if %}", {})


def test_generation_tags_are_transparent() -> None:
    template = ChatTemplate("{% generation %}{{ messages[0].role }}{% endgeneration %}", {})
    assert template.render(MESSAGES) == "system"
