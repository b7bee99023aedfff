"""Large bodies are parsed beside the event loop, small ones at once."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from ensue.api.body import BodyReader
from ensue.api.context import RequestContext
from ensue.api.strict_json import LARGE_BYTES
from ensue.config import LimitsConfig
from ensue.errors import InvalidRequest
from ensue.rights import KeyRights
from ensue.store.api_key import ApiKey
from tests.api.conftest import Api

NUM_IDS = 400_000
LEAST_TURNS = 5  # of the loop while so many are parsed, which takes it a tenth of a second or more


@pytest.fixture
def reader() -> BodyReader:
    return BodyReader(LimitsConfig())


def request(content: bytes, key_id: str = "") -> Request:
    context = RequestContext(key=ApiKey(key_id, "some", "", "", KeyRights(), 0))

    async def receive() -> Message:
        return {"type": "http.request", "body": content}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "method": "POST", "headers": headers, "state": {"context": context}}, receive)


async def turns_during(work: asyncio.Task[Any]) -> int:
    count = 0
    while not work.done():
        await asyncio.sleep(0)
        count += 1
    return count


async def test_the_loop_goes_on_while_a_large_body_is_parsed(reader: BodyReader) -> None:
    loop, has_turned = asyncio.get_running_loop(), threading.Event()

    def parse(value: Any) -> tuple[Any, bool]:
        loop.call_soon_threadsafe(has_turned.set)
        return value, has_turned.wait(30)

    content = json.dumps(["x" * LARGE_BYTES]).encode()
    assert await reader.read(request(content), parse) == (["x" * LARGE_BYTES], True)


async def test_large_bodies_of_one_key_do_not_all_go_before_that_of_another(reader: BodyReader) -> None:
    order, content = list[str](), json.dumps(["x" * LARGE_BYTES]).encode()

    async def post(key: str) -> None:
        await reader.read(request(content, key), len)
        order.append(key)

    await asyncio.gather(*map(post, [*["flood"] * 9, "other"]))
    assert order.index("other") <= 2


async def test_a_small_body_needs_no_thread(reader: BodyReader) -> None:
    parsed = await reader.read(request(b'{"a": 1}'), lambda value: (value, threading.current_thread()))
    assert parsed == ({"a": 1}, threading.current_thread())


async def test_numbers_by_the_hundred_thousand_let_the_loop_turn(reader: BodyReader) -> None:
    """The scanner of the standard library, alone, would let nothing else run until it has read them all."""
    reading = asyncio.create_task(reader.read(request(json.dumps([7] * NUM_IDS).encode()), len))
    assert await turns_during(reading) >= LEAST_TURNS
    assert await reading == NUM_IDS


async def test_what_is_wrong_with_a_large_body_is_told(reader: BodyReader) -> None:
    with pytest.raises(InvalidRequest, match="nested more than 64"):
        await reader.read(request(b"[" * (LARGE_BYTES + 1)), len)


@pytest.mark.parametrize(("path", "field"), [("/v1/completions", "prompt"), ("/detokenize", "tokens")])
async def test_a_request_with_many_ids_lets_the_loop_turn(api: Api, path: str, field: str) -> None:
    posting = asyncio.create_task(api.client.post(path, json={field: [7] * NUM_IDS}))
    assert await turns_during(posting) >= 2 * LEAST_TURNS
    assert (await posting).status_code == 400  # too many
