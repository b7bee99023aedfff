"""Hostile constraints on the running server: each is answered, and an innocent request beside them is untouched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any

import pytest

from tests.product.server import Server

INNOCENT = {"prompt": "Once upon a time", "max_tokens": 48, "temperature": 1, "seed": 11, "n": 2}
COSTLY = " | ".join(f'(("{c}"{{1,1000}}){{1,1000}}){{1,1000}}' for c in "abcdefghijklmnop")
PROPERTIES = {f"property{i}": {"type": "string"} for i in range(10_000)}
INTEGER: Any = {"type": "integer"}
DEEP_ANY = reduce(lambda inner, _: {"anyOf": [inner, {"type": "null"}]}, range(40), INTEGER)
WIDE: Any = {"allOf": [{"anyOf": [{"properties": {f"a{i}_{j}": {"const": 1}}} for j in range(6)]} for i in range(8)]}

# body, whether it can be served
HOSTILE: list[tuple[dict[str, Any], bool]] = [
    ({"guided_regex": "(a+)+$"}, True),
    ({"guided_regex": "a{1,1000000}"}, True),
    ({"guided_regex": "(x+x+)+y"}, True),
    ({"guided_regex": "((a{1,1000}){1,1000}){1,1000}"}, False),
    ({"guided_regex": "(.{1,1000}){1,1000}"}, False),
    ({"guided_regex": "(" * 60_000}, False),
    ({"guided_regex": "(" * 4000 + "a" + ")" * 4000}, False),
    ({"guided_regex": "[" * 8000}, False),
    ({"guided_regex": "a" * 2**20}, False),
    ({"guided_regex": "(?=a)b"}, False),
    ({"guided_regex": r"(a)\1"}, False),
    ({"guided_json": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}}, False),
    ({"guided_json": {"$ref": "http://127.0.0.1:1/schema"}}, False),
    ({"guided_json": {"$ref": "file:///etc/passwd"}}, False),
    ({"guided_json": {"type": "object", "properties": PROPERTIES}}, False),
    ({"guided_json": DEEP_ANY}, False),
    ({"guided_json": WIDE}, False),
    ({"guided_json": {"type": "array", "items": {"type": "integer"}, "maxItems": 1_000_000_000}}, True),
    ({"guided_json": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}}, True),
    ({"guided_json": {"type": "integer", "minimum": 2, "maximum": 1}}, False),
    ({"guided_json": {}}, True),
    ({"guided_choice": ["a" * 70_000]}, False),
    ({"guided_grammar": f"root ::= {COSTLY}"}, False),
    ({"guided_grammar": 'root ::= root root root | "a" | ""'}, True),
    ({"guided_grammar": 'start: "a" start'}, False),
]


@pytest.mark.parametrize("stream", [False, True])
def test_hostile_constraints_are_answered_and_leave_others_alone(server: Server, stream: bool) -> None:
    (alone, usage) = _answer(server)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(_attack, server, body, stream) for body, _ in HOSTILE]
        beside = [pool.submit(_answer, server) for _ in range(6)]
        assert all(future.result() == (alone, usage) for future in beside)
        statuses = [future.result() for future in asked]
    for (body, can_be_served), status in zip(HOSTILE, statuses, strict=True):
        assert status == (200 if can_be_served else 400), str(body)[:80]
    assert server.status("/ready")[0] == 200
    assert _answer(server) == (alone, usage)


def _answer(server: Server) -> tuple[Any, Any]:
    answer = server.post(INNOCENT)
    return answer["choices"], answer["usage"]["completion_tokens"]


def _attack(server: Server, body: dict[str, Any], stream: bool) -> int:
    asked = {"prompt": "x", "max_tokens": 12, "temperature": 1, **body}
    if not stream:
        return server.answer(asked)[0]
    status, answer = server.answer({**asked, "max_tokens": 1})  # a refusal comes before a stream begins
    if status == 200:
        assert server.events({**asked, "stream": True})
    else:
        assert server.answer({**asked, "stream": True}) == (status, answer)
    return status
