"""Messages in the words that templates know: what they have no words for is said in those that they have."""

from __future__ import annotations

from typing import Any

import pytest

from ensue.service.conversation import Conversation
from ensue.text.chat_template import ChatTemplate
from ensue.tools import Tool

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
PARTS = "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + PLAIN
# A loop over what may be a content, in a template that takes no parts.
LOOPING = PLAIN + "{% set c = messages[0].content %}{% for x in c %}{{ 'a' + x if false }}{% endfor %}{{ 'a' + c }}"

CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
CALL_TEXT = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
USER = {"role": "user", "content": "Hi"}


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def rendered(source: str, *messages: dict[str, Any], tools: tuple[Tool, ...] = ()) -> str:
    return Conversation(ChatTemplate(source, {}), messages, tools).render()


@pytest.mark.parametrize("source", [PLAIN, PARTS])
@pytest.mark.parametrize("content", ["Look", parts("Look")])
def test_calls_and_results_are_told_as_text_to_templates_without_words_for_them(source: str, content: Any) -> None:
    past = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    result = {"role": "tool", "content": content, "tool_call_id": "c"}
    expected = f"<user>Hi<assistant>Look\n{CALL_TEXT}<user><tool_response>\nLook\n</tool_response>"
    assert rendered(source, USER, past, result) == expected


@pytest.mark.parametrize("source", [PLAIN, PARTS])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_tools_follow_what_the_system_says(source: str, role: str) -> None:
    text = rendered(source, {"role": role, "content": parts("Be", "brief.")}, USER, tools=(Tool("f"),))
    assert text.startswith("<system>Be\nbrief.\n\nYou may call these functions:\n<tools>\n")
    assert text.endswith("</tool_call><user>Hi")


@pytest.mark.parametrize("content", ["Hi", parts("Hi")])
def test_a_template_that_takes_no_system_is_told_of_tools_by_the_user(content: Any) -> None:
    text = rendered(NO_SYSTEM, {"role": "user", "content": content}, tools=(Tool("f"),))
    assert text.startswith("<user>You may call these functions:")
    assert text.endswith("\n\nHi")


def test_a_template_for_tools_is_used_where_there_are_some() -> None:
    template = ChatTemplate(PLAIN, {}, "{{ tools[0].function.name }}:{{ messages[0].content }}")
    assert Conversation(template, [USER]).render() == "<user>Hi"
    assert Conversation(template, [USER], [Tool("f")]).render() == "f:Hi"


def test_a_loop_over_a_text_makes_no_parts() -> None:
    assert rendered(LOOPING, {"role": "user", "content": parts("one", "two")}) == "<user>one\ntwoaone\ntwo"
