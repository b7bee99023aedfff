"""The server on a socket: bounds on what comes in, disconnects, shutdown."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from ensue.api import http_protocol
from ensue.api.server import serve
from ensue.config import Config, LimitsConfig, ServerConfig
from ensue.engine.fake import FakeEngine
from tests.api.conftest import ServeApp

Says = Callable[..., FakeEngine]


async def exchange(url: str, *pieces: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def request(body: dict[str, Any], *headers: str) -> bytes:
    content = json.dumps({"prompt": "x"} | body).encode()
    lines = ("POST /v1/completions HTTP/1.1", "host: localhost", "content-type: application/json", *headers)
    return "\r\n".join((*lines, f"content-length: {len(content)}", "", "")).encode() + content


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def limited(**limits: Any) -> Config:
    return Config(server=ServerConfig(drain_s=0.2), limits=LimitsConfig(**limits))


def assert_refused(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in head
    assert b"x-request-id: req_" in head
    assert json.loads(body)["error"]["code"] == code


@pytest.mark.parametrize("headers", [b"a: %s\r\n" % (b"x" * 20_000), b"a: b\r\n" * 65, b"a: %s" % (b"x" * 100_000)])
async def test_large_headers_are_refused(served: ServeApp, says: Says, headers: bytes) -> None:
    async with served(says("a")) as url:
        answer = await exchange(url, b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + headers + b"\r\n")
    assert_refused(answer, 431, "headers_too_large")


async def test_a_header_without_end_is_refused_while_it_arrives(served: ServeApp, says: Says) -> None:
    async with served(says("a")) as url:
        answer = await exchange(url, b"GET /health HTTP/1.1\r\na: ", *[b"x" * 4000] * 5)
    assert_refused(answer, 431, "headers_too_large")


@pytest.mark.parametrize("endless", [b"0\r\na: ", b"0\r\n", b"2;a=", b"0"])
async def test_what_has_no_end_between_and_behind_chunks_is_refused(
    served: ServeApp, says: Says, endless: bytes
) -> None:
    head = request({}).partition(b"content-length")[0] + b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"
    async with served(says("a")) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.writelines((endless, b"0" * 17_000))
        assert_refused(await asyncio.wait_for(reader.read(), 30), 431, "headers_too_large")
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header: \x00\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(served: ServeApp, says: Says, data: bytes) -> None:
    async with served(says("a")) as url:
        assert_refused(await exchange(url, data), 400, "bad_request")


async def test_slow_headers_are_refused(served: ServeApp, says: Says) -> None:
    async with served(says("a"), config=limited(header_timeout_s=0.1)) as url:
        assert_refused(await exchange(url, b"GET /hea"), 408, "receive_timeout")


async def test_a_connection_that_asks_nothing_is_closed(served: ServeApp, says: Says) -> None:
    async with served(says("a"), config=limited(header_timeout_s=0.1)) as url:
        assert await exchange(url) == b""
        assert await exchange(url, b"\r\n") == b""


async def test_blank_lines_after_an_answer_do_not_keep_a_connection(served: ServeApp, says: Says) -> None:
    async with served(says("a"), config=limited(header_timeout_s=0.1)) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readuntil(b"}")
        writer.write(b"\r\n")
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_a_slow_body_is_refused(served: ServeApp, says: Says) -> None:
    engine = says("a")
    async with served(engine, config=limited(body_timeout_s=0.1)) as url:
        assert_refused(await exchange(url, request({})[:-3]), 408, "receive_timeout")
    assert engine.requests == []


async def test_a_slow_body_behind_an_answer_ends_the_connection(served: ServeApp, says: Says) -> None:
    async with served(says("a"), config=limited(body_timeout_s=0.1)) as url:
        answer = await exchange(url, b"GET /health HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n123")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


async def test_pipelined_requests_are_answered_in_order(served: ServeApp, says: Says) -> None:
    async with served(says("a")) as url:
        answer = await exchange(url, request({}) + request({"n": 0}, "connection: close"))
    assert answer.count(b"HTTP/1.1") == 2
    assert answer.index(b"200 OK") < answer.index(b"400 Bad Request")


async def test_requests_that_wait_in_line_are_bounded(served: ServeApp, says: Says) -> None:
    engine = says("a")
    async with served(engine) as url:
        assert await exchange(url, request({}) * (http_protocol.MAX_WAITING + 2)) == b""
        allowed = request({}) * http_protocol.MAX_WAITING + request({}, "connection: close")
        assert (await exchange(url, allowed)).count(b"HTTP/1.1 200") == http_protocol.MAX_WAITING + 1


async def test_a_refusal_does_not_stand_before_the_answer_of_an_earlier_request(served: ServeApp, says: Says) -> None:
    bad = b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense"
    async with served(says("a")) as url:
        assert await exchange(url, request({}) + bad) == b""


async def test_every_event_is_one_chunk(served: ServeApp, says: Says) -> None:
    async with served(says(" one two")) as url:
        answer = await exchange(url, request({"stream": True, "max_tokens": 4}, "connection: close"))
    body = answer.partition(b"\r\n\r\n")[2]
    chunks = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    assert chunks.pop() == b""
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)
    assert all(chunk.count(b"\n") == 2 for chunk in chunks)
    assert len(chunks) == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_a_disconnect_frees_the_generation(served: ServeApp, says: Says, stream: bool) -> None:
    engine = says("a", step_s=0.01)
    async with served(engine) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": stream, "max_tokens": 900, "prompt": ["a", "b"]}))
        await until(lambda: len(engine.running) == 2)
        if stream:
            await reader.readline()
        writer.close()
        await until(lambda: not engine.running)


async def test_a_close_right_after_done_is_an_ordinary_end(
    served: ServeApp, says: Says, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = says("a")
    async with served(engine) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request({"stream": True, "max_tokens": 3}))
        await reader.readuntil(b"data: [DONE]\n\n")
        writer.close()
    assert engine.running == set()
    assert "status=200" in capsys.readouterr().out
    assert caplog.records == []


async def test_a_client_that_takes_nothing_is_given_up(
    served: ServeApp, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "STALL_AFTER_S", 0.1)
    engine = says(" one", max_model_len=1_000_000)
    async with served(engine, config=limited(stream_buffer_bytes=1000)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(request({"stream": True, "max_tokens": 900_000}))
            await until(lambda: bool(engine.running))
            await until(lambda: not engine.running)


async def test_a_client_that_reads_late_gets_the_whole_text_in_fewer_events(served: ServeApp, says: Says) -> None:
    num_tokens, engine = 40_000, says(" one", max_model_len=50_000)
    async with served(engine, config=limited(stream_buffer_bytes=1000)) as url:
        host, port = url.removeprefix("http://").split(":")
        whole = json.loads(
            (await exchange(url, request({"max_tokens": num_tokens}, "connection: close"))).splitlines()[-1]
        )
        with socket.create_connection((host, int(port))) as late:
            late.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            late.sendall(request({"stream": True, "max_tokens": num_tokens}, "connection: close"))
            for _ in range(num_tokens + 1000):  # the engine is done meanwhile
                await asyncio.sleep(0)
            assert engine.running
            late.setblocking(False)
            answer = b""
            while data := await asyncio.get_running_loop().sock_recv(late, 2**16):
                answer += data
    events = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith(b"data: {")]
    assert "".join(event["choices"][0]["text"] for event in events) == whole["choices"][0]["text"]
    assert len(events) < num_tokens
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_responses_name_no_software(served: ServeApp, says: Says) -> None:
    async with served(says("a")) as url, httpx2.AsyncClient() as client:
        response = await client.get(f"{url}/health")
    assert "server" not in response.headers
    assert response.headers["date"]


async def test_a_shutdown_lets_a_running_request_finish(served: ServeApp, says: Says) -> None:
    engine = says(" one", step_s=0.02)
    async with served(engine) as url:
        answering = asyncio.create_task(exchange(url, request({"stream": True, "max_tokens": 10})))
        await until(lambda: bool(engine.running))
    answer = await answering
    assert answer.count(b'"text"') == 10
    assert b"[DONE]" in answer


async def test_while_requests_finish_the_server_says_that_it_drains(served: ServeApp, says: Says) -> None:
    engine = says(" one", step_s=0.02)
    async with served(engine) as url, httpx2.AsyncClient(base_url=url) as client:
        answering = asyncio.create_task(exchange(url, request({"stream": True, "max_tokens": 30})))
        await until(lambda: bool(engine.running))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not engine.is_ready)
        ready = await client.get("/ready")
        refused = await client.post("/v1/completions", json={"prompt": "x"})
        assert b'"finish_reason":"length"' in await answering
    assert (ready.status_code, ready.json()["phase"]) == (503, "draining")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
    assert refused.headers["retry-after"]


async def test_a_stream_that_outlasts_the_drain_ends_with_an_error_event(served: ServeApp, says: Says) -> None:
    engine = says(" one", step_s=0.02)
    async with served(engine, config=limited()) as url:
        answering = asyncio.create_task(exchange(url, request({"stream": True, "max_tokens": 900})))
        await until(lambda: bool(engine.running))
    answer = await answering
    *_, error, done, _ = answer.partition(b"\r\n\r\n")[2].split(b"\n\n")
    assert b'"code":"draining"' in error
    assert b"data: [DONE]" in done
    assert engine.running == set()


async def test_an_answer_that_outlasts_the_drain_is_a_503(served: ServeApp, says: Says) -> None:
    engine = says(" one", step_s=0.02)
    async with served(engine, config=limited()) as url:
        answering = asyncio.create_task(exchange(url, request({"max_tokens": 900})))
        await until(lambda: bool(engine.running))
    answer = await answering
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"draining"' in answer


async def test_sigterm_ends_the_server(listener: socket.socket) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing asks")

    def on_started() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def drain() -> None:
        """Nothing runs."""

    async with asyncio.timeout(30):
        await serve(app, listener, Config(), on_started, drain)
