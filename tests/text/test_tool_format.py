"""Which format a model calls tools in, by its template and its tokens; which form of contents its template reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

import ensue.tiny
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from ensue.text.tool_format import call_format, tool_support
from ensue.tools import Marker

TINY = Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)


def tokenizer_with(*special: str) -> Tokenizer:
    backend = tokenizers.Tokenizer.from_file(str(Path(ensue.tiny.__file__).parent / "tokenizer.json"))
    backend.add_special_tokens(list(special))
    return Tokenizer(backend, {}, None)


QWEN = "{% if tools %}<tools>{% endif %}<tool_call>{{ call.name }} {{ call.arguments | tojson }}</tool_call>"
CODER = "{% if tools %}{% endif %}<tool_call><function={{ name }}><parameter=a>{{ arguments }}</tool_call>"
LLAMA = '{{ tools }} Respond with {"name": ..., "parameters": ...} {{ "<|python_tag|>" }} "parameters"'


@pytest.mark.parametrize(
    ("source", "special", "name", "is_known"),
    [
        (TINY.chat_template, (), "hermes", True),
        (QWEN, (), "hermes", True),
        (LLAMA, ("<|python_tag|>",), "llama3", True),
        ("{{ tools }}[TOOL_CALLS]", ("[TOOL_CALLS]",), "mistral", True),
        (CODER, (), "hermes", False),
        ("{{ tools }}<call>", (), "hermes", False),
        ("{{ messages[0].content }}", (), "hermes", True),  # then the prompt that asks for it is ours
    ],
)
def test_a_format_is_recognised(source: str, special: tuple[str, ...], name: str, is_known: bool) -> None:
    support = tool_support(ChatTemplate(source, {}), tokenizer_with(*special), None)
    assert (support.format.name, support.is_known) == (name, is_known)


PAST = "{{ tools }}{% for m in messages %}{% for call in m.tool_calls %}%s{% endfor %}{% endfor %}"
OBJECT = '{"name": "{{ call.function.name }}", "%s": {{ call.function.arguments | tojson }}}'


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        ("<tool_call>\n" + OBJECT % "arguments" + "</tool_call>", "hermes"),
        ("<tool_call><invoke {{ call.function.name }} arguments></tool_call>", None),
        ("<tool_calls>[" + OBJECT % "arguments" + "] {# <tool_call> #}", None),
        ("[TOOL_CALLS] [" + OBJECT % "arguments" + "]", "mistral"),
        ("[TOOL_CALLS]{{ call.function.name }}[CALL_ID]{{ call.id }}[ARGS]{{ call.function.arguments }}", "mistral"),
        ("[TOOL_CALLS]call {{ call.function.name }}", None),
        (OBJECT % "parameters", "llama3"),
        ('{"tool_name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}', None),
    ],
)
def test_how_a_past_call_is_shown_tells_formats_apart(shown: str, name: str | None) -> None:
    tokenizer = tokenizer_with("<|python_tag|>")
    support = tool_support(ChatTemplate(PAST.replace("%s", shown), {}), tokenizer, None)
    assert (support.format.name, support.is_known) == (name or "hermes", name is not None)


def test_settings_go_before_what_is_recognised() -> None:
    support = tool_support(ChatTemplate(CODER, {}), TINY, "llama3")
    assert (support.format.name, support.is_known) == ("llama3", True)


def test_markers_are_special_tokens_where_the_model_has_them() -> None:
    tokenizer = tokenizer_with("[TOOL_CALLS]", "[ARGS]")
    form = call_format("mistral", tokenizer)
    assert form.opening == Marker("[TOOL_CALLS]", tokenizer.token_id("[TOOL_CALLS]"))
    assert form.arguments == Marker("[ARGS]", tokenizer.token_id("[ARGS]"))
    assert form.call_id is None
    with_ids = call_format("mistral", tokenizer_with("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"))
    assert with_ids.markers == (with_ids.opening, with_ids.call_id, with_ids.arguments)
    assert call_format("mistral", TINY).opening == Marker("[TOOL_CALLS]")


@pytest.mark.parametrize(
    ("body", "reads_parts", "reads_texts"),
    [
        ("{{ m.content }}", False, True),
        ("{% for part in m.content %}{{ part.text }}{% endfor %}", True, False),
        ("{% for part in m['content'] | list %}{{ part.text }}{% endfor %}", True, False),
        ("{% set c = m.content %}{% for part in c %}{{ part.text }}{% endfor %}", True, False),
        (
            "{% if m.content is string %}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}",
            True,
            True,
        ),
        ("{% macro show(content) %}{% for p in content %}{% endfor %}{% endmacro %}{{ show(m.content) }}", True, False),
    ],
)
def test_the_form_of_contents_is_read_off_the_template(body: str, reads_parts: bool, reads_texts: bool) -> None:
    template = ChatTemplate("{% for m in messages %}" + body + "{% endfor %}", {})
    assert (template.reads_parts, template.reads_texts) == (reads_parts, reads_texts)
