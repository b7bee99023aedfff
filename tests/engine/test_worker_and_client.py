"""A client and a worker process over a real socket: streams, ends, crashes, restarts."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from ensue.engine import streams, wire
from ensue.engine.client import ClientGeneration, EngineClient
from ensue.errors import ContextLengthExceeded, EngineDead, Overloaded
from ensue.outputs import PROMPT, FinishReason, TokenOutput
from ensue.request import GenerationRequest
from tests.engine.toy import expected, make_request

ROOT = Path(__file__).parents[2]


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ensue-") as folder:  # pytest's own paths are too long for a socket
        yield Path(folder) / "worker.sock"


@contextmanager
def worker(socket_path: Path, step_delay_s: float = 0.0) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.engine.worker_process", str(socket_path), str(step_delay_s)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def connected(socket_path: Path, stall_after_s: float = 30.0) -> AsyncIterator[EngineClient]:
    client = EngineClient(socket_path, stall_after_s=stall_after_s)
    client.start()
    try:
        await until(lambda: client.is_ready)
        yield client
    finally:
        await client.close(0.0)


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        await asyncio.sleep(0.01)


async def tokens_of(generation: ClientGeneration) -> dict[int, TokenOutput]:
    merged: dict[int, TokenOutput] = {}
    async for output in generation:
        index = output.sample_index
        merged[index] = merged[index].merge(output) if index in merged else output
    return merged


def long_request(**more: object) -> GenerationRequest:
    return make_request(range(5), max_tokens=2000, **more)  # type: ignore[arg-type]


async def test_requests_of_several_clients_get_their_own_tokens(socket_path: Path) -> None:
    with worker(socket_path):
        async with connected(socket_path) as one, connected(socket_path) as two:
            requests = [make_request(range(n + 2), seed=n, num_samples=2, num_prompt_logprobs=0) for n in range(8)]
            generations = [await (one, two)[n % 2].generate(request) for n, request in enumerate(requests)]
            results = await asyncio.gather(*map(tokens_of, generations))
            for request, result in zip(requests, results, strict=True):
                assert [result[i].token_ids for i in (0, 1)] == [expected(request, 0), expected(request, 1)]
                assert result[PROMPT].token_ids == request.prompt_token_ids[1:]


async def test_stopping_a_sample_and_closing_a_request_free_the_engine(socket_path: Path) -> None:
    with worker(socket_path, step_delay_s=0.002):
        async with connected(socket_path) as client:
            generation = await client.generate(long_request(num_samples=2))
            async for output in generation:
                if output.sample_index == 0 and output.token_ids:
                    generation.stop(0)
                if output.finish_reason:
                    break
            assert (output.sample_index, output.finish_reason) == (0, FinishReason.ABORT)
            await generation.aclose()
            await generation.aclose()
            assert (await tokens_of(await client.generate(make_request(range(3)))))[0].finish_reason
            await until(lambda: client.stats().num_used_blocks == 0)


async def test_what_cannot_run_is_refused_at_once(socket_path: Path) -> None:
    with worker(socket_path):
        async with connected(socket_path) as client:
            with pytest.raises(ContextLengthExceeded):
                await client.generate(make_request(range(5), max_tokens=5000))


async def test_no_credit_is_an_immediate_503(socket_path: Path) -> None:
    with worker(socket_path, step_delay_s=0.05):
        async with connected(socket_path) as client:
            flood = [client.generate(long_request()) for _ in range(200)]
            with pytest.raises(Overloaded, match="waiting"):
                await asyncio.gather(*flood)


async def test_a_killed_worker_fails_what_runs_and_a_fresh_one_serves(socket_path: Path) -> None:
    async with connected_later(socket_path) as client:
        with worker(socket_path, step_delay_s=0.005) as process:
            await until(lambda: client.is_ready)
            generation = await client.generate(long_request())
            await anext(generation)
            process.kill()
            with pytest.raises(EngineDead):
                await tokens_of(generation)
            assert client.phase == "dead"
            with pytest.raises(EngineDead):
                await client.generate(long_request())
        with worker(socket_path):
            await until(lambda: client.is_ready)
            assert (await tokens_of(await client.generate(make_request(range(4)))))[0].finish_reason


@asynccontextmanager
async def connected_later(socket_path: Path) -> AsyncIterator[EngineClient]:
    client = EngineClient(socket_path)
    client.start()
    assert client.phase == "starting"
    with pytest.raises(Overloaded):
        await client.generate(long_request())
    yield client
    await client.close(0.0)


async def test_a_failing_step_ends_the_worker_visibly(socket_path: Path) -> None:
    with worker(socket_path) as process:
        async with connected(socket_path) as client:
            with pytest.raises(EngineDead):
                await tokens_of(await client.generate(make_request([96])))
            assert await asyncio.to_thread(process.wait, 60) != 0


async def test_a_hanging_step_makes_the_engine_not_ready(socket_path: Path) -> None:
    with worker(socket_path):
        async with connected(socket_path, stall_after_s=1.2) as client:
            await client.generate(make_request([95]))
            await until(lambda: client.phase == "stalled")
            assert not client.is_ready
            assert client.phase_elapsed_s > 1.2


async def test_sigterm_drains_and_then_ends(socket_path: Path) -> None:
    with worker(socket_path, step_delay_s=0.005) as process:
        async with connected(socket_path) as client:
            request = make_request(range(3), max_tokens=40)
            generation = await client.generate(request)
            await anext(generation)
            process.send_signal(signal.SIGTERM)
            rest = await tokens_of(generation)
            assert rest[0].finish_reason is FinishReason.LENGTH
            assert await asyncio.to_thread(process.wait, 60) == 0


async def test_a_client_that_leaves_takes_its_requests_along(socket_path: Path) -> None:
    with worker(socket_path, step_delay_s=0.002):
        async with connected(socket_path) as watcher:
            async with connected(socket_path) as leaver:
                await anext(await leaver.generate(long_request()))
            generation = await watcher.generate(make_request(range(3), max_tokens=30))
            await tokens_of(generation)
            await until(lambda: watcher.stats().num_used_blocks == 0)


async def test_another_protocol_version_is_turned_away(socket_path: Path) -> None:
    with worker(socket_path):
        async with connected(socket_path):
            reader, writer = await asyncio.open_unix_connection(str(socket_path))
            writer.write(wire.encode(wire.Hello(version=999)))
            assert await streams.read(reader) == wire.Bye(f"This worker speaks version {wire.VERSION}.")
            writer.close()
