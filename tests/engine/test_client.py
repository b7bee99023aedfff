"""The client against scripted workers: credit, silence, workers that turn it away."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ensue.engine import streams, wire
from ensue.engine.client import EngineClient
from ensue.engine.wire import Add, Failed, Grant, Heartbeat, Loading, Message, Ready
from ensue.errors import EngineDead, Overloaded
from tests.engine.toy import make_engine, make_request

READY = Ready(make_engine().info, 1, Grant(10, 100, 0))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def client_of(serve: Serve, silent_after_s: float = 30.0) -> AsyncIterator[EngineClient]:
    """A client whose worker is the function `serve`."""
    calls: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()
        await writer.wait_closed()

    def on_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.add(asyncio.create_task(answer(reader, writer)))

    with tempfile.TemporaryDirectory(prefix="ensue-") as folder:
        path = Path(folder) / "worker.sock"
        async with await asyncio.start_unix_server(on_call, str(path)):
            client = EngineClient(path, silent_after_s=silent_after_s)
            client.start()
            try:
                yield client
            finally:
                await client.close(0.0)
                await asyncio.gather(*calls)


def saying(*messages: Message) -> Serve:
    """A worker that says this and then waits for the client to leave."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(map(wire.encode, messages))
        while await streams.read(reader) is not None:
            pass

    return serve


async def phase_comes(client: EngineClient, phase: str) -> None:
    async with asyncio.timeout(30):
        while client.phase != phase:
            await asyncio.sleep(0.01)


async def test_a_worker_that_falls_silent_is_stalled() -> None:
    async with client_of(saying(READY), silent_after_s=0.1) as client:
        await phase_comes(client, "ready")
        await phase_comes(client, "stalled")
        assert client.phase_elapsed_s > 0.1


async def test_a_long_step_is_stalled_by_the_age_that_the_heartbeat_tells() -> None:
    async with client_of(saying(READY, Heartbeat(31.0, True))) as client:
        await phase_comes(client, "stalled")
        assert client.phase_elapsed_s >= 31.0


async def test_loading_phases_show_and_refuse() -> None:
    async with client_of(saying(Loading("weights", 0.5))) as client:
        await phase_comes(client, "weights")
        with pytest.raises(Overloaded, match="weights") as caught:
            await client.generate(make_request((1,)))
        assert caught.value.code == "model_loading"


async def test_a_draining_worker_is_not_ready_and_refuses_at_once() -> None:
    async with client_of(saying(READY, Loading("draining"))) as client:
        await phase_comes(client, "draining")
        assert not client.is_ready
        with pytest.raises(Overloaded) as caught:
            await client.generate(make_request((1,)))
        assert caught.value.code == "draining"


async def test_closing_ends_what_still_runs_as_draining() -> None:
    async with client_of(saying(READY)) as client:
        await phase_comes(client, "ready")
        generation = await client.generate(make_request((1,)))
        await client.close(0.0)
        assert client.phase == "draining"
        with pytest.raises(Overloaded) as caught:
            await anext(aiter(generation))
    assert caught.value.code == "draining"


async def test_a_worker_that_hangs_up_is_not_called_in_a_tight_loop() -> None:
    called_at: list[float] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called_at.append(time.monotonic())

    begun_at = time.monotonic()
    async with client_of(hang_up), asyncio.timeout(30):
        while len(called_at) < 5:
            await asyncio.sleep(0.01)
    assert called_at[4] - begun_at >= 0.02 + 0.04 + 0.08 + 0.16


async def test_a_message_that_cannot_be_used_costs_the_connection_but_not_the_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.encode(READY))
        while message := await streams.read(reader):
            if isinstance(message, Add):
                writer.write(wire.encode(Failed(message.handle, "NoSuchError", "")))

    async with client_of(serve) as client:
        for _ in range(2):
            await phase_comes(client, "ready")
            generation = await client.generate(make_request((1,)))
            with pytest.raises(EngineDead):
                await anext(aiter(generation))
