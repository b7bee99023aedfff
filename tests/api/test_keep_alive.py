"""Comments in quiet streams, by a clock that the test turns, and byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from ensue.api.chunks import Write
from ensue.api.keep_alive import COMMENT, KeepAlive, SendEvent
from ensue.api.sse import DONE, EventStream
from ensue.config import ServerConfig
from ensue.engine.fake import FakeEngine
from ensue.errors import ServerError
from tests.api.conftest import MakeApi

PERIOD_S = 10.0


class Clock:
    """Stands still until it is turned; who sleeps by it wakes at the right moment."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, delay_s: float) -> None:
        self._sleepers.append((self.now + delay_s, asyncio.get_running_loop().create_future()))
        await self._sleepers[-1][1]

    async def turn(self, delay_s: float) -> None:
        await settled()
        end = self.now + delay_s
        while due := [sleeper for sleeper in self._sleepers if sleeper[0] <= end and not sleeper[1].done()]:
            sleeper = min(due, key=lambda sleeper: sleeper[0])
            self._sleepers.remove(sleeper)
            self.now = max(self.now, sleeper[0])
            sleeper[1].set_result(None)
            await settled()
        self.now = end


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Line:
    """What a client gets, and whether it takes it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    def write(self, data: bytes) -> bool:
        self.got.append(data)
        return True

    async def send(self, data: bytes) -> None:
        await self.is_open.wait()
        self.got.append(data)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def kept_alive(line: Line, clock: Clock) -> KeepAlive:
    return KeepAlive(PERIOD_S, line.write, line.send, clock=lambda: clock.now, sleep=clock.sleep)


async def test_each_silence_ends_with_a_comment_and_news_begin_another(clock: Clock) -> None:
    line = Line()
    async with kept_alive(line, clock) as alive:
        await clock.turn(9.5)
        alive.write(b"news")
        await clock.turn(9.5)
        assert line.got == [b"news"]
        await clock.turn(0.5)
        assert line.got == [b"news", COMMENT]
        await clock.turn(20)
        assert line.got == [b"news", COMMENT, COMMENT, COMMENT]
    await clock.turn(100)
    assert len(line.got) == 4


async def test_a_client_that_is_slow_to_take_an_event_gets_no_comment_meanwhile(clock: Clock) -> None:
    line = Line()
    async with kept_alive(line, clock) as alive:
        line.is_open.clear()
        sending = asyncio.create_task(alive.send(b"news"))
        await clock.turn(25)
        line.is_open.set()
        await sending
        await clock.turn(9.5)
        assert line.got == [b"news"]
        await clock.turn(0.5)
        assert line.got == [b"news", COMMENT]


async def test_a_comment_that_is_being_sent_is_sent_whole(clock: Clock) -> None:
    line = Line()
    line.is_open.clear()
    alive = await kept_alive(line, clock).__aenter__()
    await clock.turn(PERIOD_S)
    closing = asyncio.create_task(alive.__aexit__(None, None, None))
    await settled()
    assert not closing.done()
    line.is_open.set()
    await closing
    assert line.got == [COMMENT]


async def streamed(events: Callable[[Callable[[], Awaitable[None]], SendEvent], Awaitable[None]]) -> list[Message]:
    """All messages of a stream whose events can wait for a comment."""
    messages: list[Message] = []
    has_comment = asyncio.Event()

    async def send(message: Message) -> None:
        messages.append(message)
        if message.get("body") == COMMENT:
            has_comment.set()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def comment() -> None:
        has_comment.clear()
        await has_comment.wait()

    async def on_close(_error: BaseException | None) -> None: ...

    async def run(_write: Write, send_event: SendEvent) -> None:
        await events(comment, send_event)

    response = EventStream(run, on_close, timeout_s=60, keepalive_s=0.01)
    await response({"type": "http"}, receive, send)
    return messages


async def test_a_comment_begins_the_response_and_stands_between_events() -> None:
    async def events(comment: Callable[[], Awaitable[None]], send: SendEvent) -> None:
        await comment()
        await send(b"data: 1\n\n")
        await comment()
        await send(b"data: 2\n\n")

    start, *rest = await streamed(events)
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    bodies = [message["body"] for message in rest]
    assert set(bodies) == {b": keep-alive\n\n", b"data: 1\n\n", b"data: 2\n\n", DONE}
    first = bodies.index(b"data: 1\n\n")
    assert bodies[:first] == [COMMENT] * first
    assert COMMENT in bodies[first : bodies.index(b"data: 2\n\n")]
    assert bodies[-1] == DONE


async def test_what_fails_after_a_comment_is_an_event() -> None:
    async def events(comment: Callable[[], Awaitable[None]], send: SendEvent) -> None:
        await comment()
        raise ServerError("It broke.")

    *_, error, done = [message["body"] for message in (await streamed(events))[1:]]
    assert error.startswith(b'data: {"error":{"message":"It broke."')
    assert done == DONE


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_streams_have_comments_only_where_they_are_asked_for(
    make_api: MakeApi, says: Callable[..., FakeEngine], path: str
) -> None:
    body = {"prompt": "x"} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "x"}]}
    texts = []
    for keepalive_s in (None, 0.1):
        api = make_api(says(" one", step_s=0.25), server=ServerConfig(sse_keepalive_s=keepalive_s))
        response = await api.client.post(path, json={"stream": True, "max_tokens": 3} | body)
        texts.append(response.text)
    assert COMMENT.decode() not in texts[0]
    events = [part for part in texts[1].split("\n\n") if part != ": keep-alive"]
    assert len(events) < texts[1].count("\n\n") + 1
    assert len(events) == texts[0].count("\n\n") + 1
