"""Chats with the bundled model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.product.server import Server, running_server

PATH = "/v1/chat/completions"
QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
}


def test_a_question_is_answered_and_the_answer_ends(server: Server) -> None:
    answer = server.post(QUESTION, PATH)
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == "The capital of France is Paris."
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)
    streamed = server.events(QUESTION | {"stream": True}, PATH)
    texts = [event["choices"][0]["delta"].get("content", "") for event in streamed]
    assert "".join(texts) == choice["message"]["content"]


def test_a_chat_remembers_and_a_final_message_is_continued(server: Server) -> None:
    begun = [*QUESTION["messages"], {"role": "assistant", "content": "The capital of"}]
    body = QUESTION | {"messages": begun, "continue_final_message": True, "echo": True}
    (choice,) = server.post(body, PATH)["choices"]
    assert choice["message"]["content"] == "The capital of France is Paris."


def test_an_answer_may_have_a_format(server: Server) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}}
    (choice,) = server.post(QUESTION | {"response_format": form, "max_tokens": 99}, PATH)["choices"]
    assert choice["finish_reason"] == "stop"
    assert json.loads(choice["message"]["content"]).keys() >= {"city"}


def test_ids_of_messages_are_those_of_the_chat(server: Server) -> None:
    ids = server.post({"messages": QUESTION["messages"]}, "/tokenize")["tokens"]
    assert server.post(QUESTION | {"return_token_ids": True}, PATH)["prompt_token_ids"] == ids
    assert "<|im_start|>user\nWhat is" in server.post({"tokens": ids}, "/detokenize")["prompt"]


def test_a_template_may_be_given_and_a_bad_one_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{{ messages[-1].content }}")
    with running_server(tmp_path, "--chat-template", str(file)) as server:
        answer = server.post({"messages": [{"role": "user", "content": "Once"}], "return_token_ids": True}, PATH)
        assert server.post({"tokens": answer["prompt_token_ids"]}, "/detokenize") == {"prompt": "Once"}
    file.write_text("{% if %}")
    with pytest.raises(AssertionError, match="--chat-template"), running_server(tmp_path, "--chat-template", str(file)):
        pass
