"""List C: numbers, texts and shapes at and beyond what is sane, plain and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.abuse.conftest import secret_body
from tests.abuse.victim import SECRET_PROMPT, Victim

PROMPT = json.dumps(SECRET_PROMPT)
NUMBERS = ["0", "-1", "2147483648", "1e400", "true", '"5"', "-0.5", "NaN", "Infinity", "9" * 5000]
COUNTS = ["n", "best_of", "max_tokens", "min_tokens", "logprobs", "top_k", "truncate_prompt_tokens"]
FLOATS = ["temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"]

# a field and the JSON text of a value that is refused
REFUSED: list[tuple[str, str]] = [
    ("prompt", "[]"),
    ("prompt", "[[]]"),
    ("prompt", "[1, [2]]"),
    ("prompt", '["a", 1]'),
    ("prompt", "[[[1]]]"),
    ("prompt", "null"),
    ("prompt", "{}"),
    ("prompt", json.dumps(["a"] * 100_000)),
    ("prompt", r'"\ud800"'),
    ("prompt", "[-1]"),
    ("prompt", "[99999999]"),
    ("prompt", "[2147483648]"),
    ("prompt", "[9223372036854775808]"),
    ("prompt", "[1.5]"),
    ("prompt", "[true]"),
    ("stop", json.dumps(["a"] * 1000)),
    ("stop", '[""]'),
    ("stop", json.dumps("a" * 2**20)),
    ("logit_bias", json.dumps({str(i): 1 for i in range(100_000)})),
    ("logit_bias", '{"0": 1e400}'),
    ("logit_bias", '{"0": 101}'),
    ("logit_bias", '{"99999999": 1}'),
    ("logit_bias", '{"x": 1}'),
    ("min_tokens", "17"),
    ("user", json.dumps("a" * 2**20)),
    ("seed", "9223372036854775808"),
    ("allowed_token_ids", "[]"),
    ("stop_token_ids", "[-1]"),
    ("n", "129"),
    ("best_of", "21"),
    ("no_such_field", "1"),
    ("__class__", "1"),
]
BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"prompt": "a", "prompt": "b"}',
    b'{"prompt": "a",}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"prompt": "\xff"}',
    b"\xef\xbb\xbf{}",
    b'{"prompt": "a", "n": 1} x',
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("field", "value"), REFUSED, ids=range(len(REFUSED)))
def test_refused_by_name(victim: Victim, field: str, value: str, stream: bool) -> None:
    head = "" if field == "prompt" else f'"prompt": {PROMPT}, '
    body = f'{{{head}"{field}": {value}, "stream": {json.dumps(stream)}}}'.encode()
    answer = victim.complete(body)
    assert answer.status in (400, 413), answer
    assert answer.status == 413 or str(answer.error["param"]).startswith(field), answer


@pytest.mark.parametrize("field", [*COUNTS, *FLOATS])
def test_every_number_is_served_or_refused_by_name(victim: Victim, field: str) -> None:
    for number in NUMBERS:
        for stream in ("true", "false"):
            body = f'{{"prompt": "x", "max_tokens": 2, "stream": {stream}, "{field}": {number}}}'.encode()
            if field == "max_tokens":
                body = body.replace(b'"max_tokens": 2, ', b"")
            answer = victim.complete(body)
            assert answer.status in (200, 400), (number, answer)
            assert answer.status == 200 or answer.error["param"] in (field, "min_tokens", None), (number, answer)


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_broken_json_is_a_400(victim: Victim, body: bytes) -> None:
    answer = victim.complete(body)
    assert answer.status == 400, answer
    assert answer.error


def test_body_of_100_mb_is_refused_before_it_is_read(victim: Victim) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += f"authorization: Bearer {victim.server.key}\r\ncontent-length: 100000000\r\n\r\n".encode()
    answer = victim.exchange(head, *[b"x" * 2**20] * 8)
    assert answer.status == 413
    assert answer.error["code"] == "content_too_large"


SERVED: list[dict[str, Any]] = [
    {"prompt": "\x00"},
    {"prompt": "a" + "\u0301" * 5000},
    {"prompt": "\U0010ffff\u202e\ufeff"},
    {"prompt": "<|endoftext|>" * 50},
    {"prompt": "x", "stop": ["\u00e9", "\U0001f600"]},
    {"prompt": "x", "user": "a\r\nx-evil: 1\x1b[31m"},
    {"prompt": "x", "logit_bias": {str(i): -100 for i in range(1024)}},
    {"prompt": "x", "allowed_token_ids": [5], "logit_bias": {"5": -100}},
    {"prompt": ["x"] * 64, "n": 2, "max_tokens": 1},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("number", range(len(SERVED)))
def test_odd_but_legal_requests_end(victim: Victim, number: int, stream: bool) -> None:
    answer = victim.complete(json.dumps({"max_tokens": 4, **SERVED[number], "stream": stream}).encode())
    assert answer.status in (200, 400), answer
    assert answer.status == 200 or answer.error["param"], answer


def test_metric_labels_cannot_be_written_by_requests(victim: Victim) -> None:
    for name in ('x"} 1\nevil 2', "a" * 500, "../../etc/passwd", "file:///etc/passwd"):
        assert victim.complete(secret_body(model=name)).status == 404
    assert "evil" not in victim.request("GET", "/metrics").body.decode()
    assert "passwd" not in victim.request("GET", "/metrics").body.decode()
