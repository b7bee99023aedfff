"""Whatever bytes come in, one well-formed answer goes out: a 200 that keeps the format, or a 400 in the one shape."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ensue.api.app import Access, create_app
from ensue.api.bodies import ChatBody, CompletionBody
from ensue.api.fields import declared
from ensue.api.names import served
from ensue.api.sse import event
from ensue.config import Config
from ensue.engine.fake import FakeEngine
from ensue.metrics import Metrics
from ensue.served_models import ServedModels
from ensue.text.tokenizer import Tokenizer
from tests.api.conftest import MakeApi

NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30, 0.5, -0.5, 1e308, 1.0, 16.0]),
    st.floats(),
)
TEXTS = st.text(max_size=6) | st.sampled_from(
    ["\ud83d", "a\udc00", "", "text", "json_object", "required", "<|end|>", "system", "\0", "5"]
)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
FIELDS = sorted(served(CompletionBody) | served(ChatBody))
NAMES = st.sampled_from([*FIELDS, "role", "content", "type", "json", "tool_calls", "function", "include_usage"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXTS, inner, max_size=3),
    max_leaves=8,
)
CLOSE = {  # values of the right kind, so that more than the first check is reached
    "prompt": TEXTS | st.lists(st.integers(0, 400), min_size=1, max_size=4) | st.lists(TEXTS, max_size=3),
    "messages": st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": TEXTS}),
        max_size=3,
    ),
    "stop": TEXTS | st.lists(TEXTS, max_size=3),
    "logit_bias": st.dictionaries(st.integers(-1, 400).map(str), NUMBERS, max_size=3),
    "stream": st.booleans(),
    "max_tokens": st.integers(0, 12),
    "n": st.integers(1, 4),
    "best_of": st.integers(1, 4),
    "logprobs": st.integers(0, 3) | st.booleans(),
}
WHOLE: dict[str, Any] = {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}
PATHS = ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize")


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON with the names of fields; now and then some of its bytes are changed.

    Often one field alone is odd: of several, the first would be refused and hide the others.
    """
    names = draw(st.lists(st.sampled_from(FIELDS), max_size=draw(st.sampled_from([1, 1, 6])), unique=True))
    close = draw(st.booleans())
    body = {name: draw(CLOSE[name] if close and name in CLOSE else VALUES) for name in names}
    body |= {name: draw(CLOSE[name]) for name in ("prompt", "messages") if name not in body}
    content = bytearray(json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


def events_of(content: bytes) -> list[Any]:
    """The events of a stream, byte by byte as the specification has them."""
    *events, done, rest = content.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(line.startswith("data: ") and "\n" not in line for line in events)
    return [json.loads(line.removeprefix("data: ")) for line in events]


def check_answer(response: httpx2.Response, statuses: Sequence[int] = (200, 400)) -> None:
    assert response.headers["x-request-id"].startswith("req_")
    if response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream"):
        events = events_of(response.content)
        assert all("choices" in item for item in events), events
        return
    value = response.json()
    if response.status_code != 200:
        assert response.status_code in statuses, response.text
        assert set(value["error"]) == {"message", "type", "param", "code"}
        assert len(response.content) < 4096


@pytest.mark.parametrize("path", PATHS)
def test_any_body_is_answered(
    path: str, make_models: Callable[..., ServedModels], says: Callable[..., FakeEngine]
) -> None:
    engine = says(" one two three")
    app = create_app(make_models(engine), Metrics(), Config(), Access())

    async def post(bodies: list[bytes]) -> list[httpx2.Response]:
        headers = {"content-type": "application/json"}
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
            return [await client.post(path, content=body, headers=headers) for body in bodies]

    @given(st.lists(bodies(), min_size=1, max_size=6))
    @settings(max_examples=60)
    def attack(given_bodies: list[bytes]) -> None:
        for response in asyncio.run(post(given_bodies)):
            check_answer(response)
        assert not engine.running

    attack()


async def test_what_the_description_of_a_field_forbids_is_refused_by_its_name(
    make_models: Callable[..., ServedModels], says: Callable[..., FakeEngine]
) -> None:
    """The schema is read by a library of others; one field at a time, so that none hides another."""
    values: list[Any] = [True, False, 0, 1, -1, 0.5, 1e300, 2**63, math.nan, -math.inf, "5", "", "\ud800", [], [True]]
    values += [
        [0.5],
        [""],
        [[]],
        [None],
        {},
        {"": 1},
        {"a": math.nan},
        {"5": True},
        10**400,
        {"5": "1"},
        [{}],
        [{"role": []}],
    ]
    app = create_app(make_models(says(" one two three")), Metrics(), Config(), Access())
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        for path, body in (("/v1/completions", CompletionBody), ("/v1/chat/completions", ChatBody)):
            required = {name: WHOLE[name] for name in body.required}
            for name, field in declared(body).items():
                allowed = Draft202012Validator(field.metadata["kind"].schema)
                for value in values:
                    content = json.dumps({**required, name: value})
                    answer = await client.post(path, content=content, headers={"content-type": "application/json"})
                    check_answer(answer, (200, 400, 404) if name == "model" else (200, 400))
                    is_json = not any(word in content for word in ("NaN", "Infinity", "ud800"))
                    if not is_json or not allowed.is_valid(value):
                        assert answer.status_code == 400, content
                        assert str(answer.json()["error"]["param"]).startswith(name), content


@example(text="a\n\ndata: [DONE]\r\n", cuts={2})
@given(text=st.text(min_size=1, max_size=40), cuts=st.sets(st.integers(1, 400), max_size=6))
def test_streamed_text_is_the_whole_text(text: str, cuts: set[int]) -> None:
    """An event holds any text on one line."""
    pieces, start = [], 0
    for end in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        pieces.append(event({"choices": [{"text": text[start:end]}]}))
        start = end
    events = events_of(b"".join([*pieces, b"data: [DONE]\n\n"]))
    assert "".join(item["choices"][0]["text"] for item in events) == text


@pytest.mark.parametrize("stream", [False, True])
async def test_odd_texts_of_a_model_come_through(
    make_api: MakeApi, says: Callable[..., FakeEngine], tokenizer: Tokenizer, stream: bool
) -> None:
    for text in (
        "a\n\ndata: [DONE]\n\n",
        "\r\n\u2028\u0085",
        '"}]}\\',
        "\x00\x1b[31m",
        "<img onerror=x>",
        "\U0001f9a6é",
    ):
        api = make_api(says(text))
        num_tokens = len(tokenizer.encode(text, add_special_tokens=False))
        body = {"max_tokens": num_tokens}
        if stream:
            told = "".join(item["choices"][0]["text"] for item in await api.events(**body))
        else:
            told = await api.text(**body)
        assert told == text
