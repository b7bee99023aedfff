"""Every backend that is installed, or the one that `make test-guided` names, on the running server."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from tests.guided.installed import NAMES
from tests.product.server import Server

pytestmark = pytest.mark.parametrize("name", NAMES)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
BASE = {"prompt": "Tell me about", "max_tokens": 80, "temperature": 2, "n": 4, "seed": 3}
BESIDES: list[dict[str, Any]] = [
    {},
    {"temperature": 0, "n": 1},
    {"best_of": 6, "n": 2},
    {"logit_bias": {"5": 100, "6": 100}, "repetition_penalty": 1.7, "min_tokens": 40},
    {"stop": ["a", "}", '"'], "include_stop_str_in_output": True},
    {"use_beam_search": True, "temperature": 0, "n": 2, "best_of": 3},
]


def stopped(server: Server, name: str, body: dict[str, Any]) -> list[str]:
    choices = server.post({**BASE, "guided_decoding_backend": name, **body})["choices"]
    return [choice["text"] for choice in choices if choice["finish_reason"] == "stop"]


@pytest.mark.parametrize("besides", BESIDES, ids=lambda body: " ".join(body))
def test_texts_that_stop_satisfy_what_was_asked_for(server: Server, name: str, besides: dict[str, Any]) -> None:
    texts = stopped(server, name, {"guided_json": SCHEMA, **besides})
    for text in texts:
        jsonschema.validate(json.loads(text), SCHEMA)
    words = stopped(server, name, {"guided_regex": "[a-z]{3,6}( [a-z]{2}){1,3}!?", **besides})
    assert all(re.fullmatch("[a-z]{3,6}( [a-z]{2}){1,3}!?", text) for text in words)
    assert texts or words
    assert set(stopped(server, name, {"guided_choice": ["yes", "no", "a cat", ""], **besides})) <= {
        "yes",
        "no",
        "a cat",
        "",
    }


def test_a_seed_gives_the_same_text_streamed_or_not(server: Server, name: str) -> None:
    body = {**BASE, "guided_regex": "[a-z]{5,20}", "guided_decoding_backend": f"{name}:no-fallback", "n": 1}
    whole = server.post(body)["choices"][0]["text"]
    events = server.events({**body, "stream": True})
    assert "".join(choice["text"] for event in events for choice in event["choices"]) == whole
