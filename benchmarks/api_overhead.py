"""What the front end costs: the API over a scripted engine beside a minimal Starlette app that streams the same bytes.

    python -m benchmarks.api_overhead --tokens 512 --rounds 3

Each app is one process of its own on a loopback socket, with the same uvicorn, uvloop and httptools; they take turns.
CPU time is that of the server's process, told by the kernel. The client, in this process, only counts. Rows `with key`
come from a server whose requests carry a key with limits and are written to a ledger in SQLite; the others from one
that needs no keys.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import ensue.tiny
from ensue.api.app import Access, create_app
from ensue.api.ledger import LedgerAccountant
from ensue.api.limits import KeyLimits
from ensue.api.server import KEEP_ALIVE_S, serve
from ensue.build.ledger import OpenLedger
from ensue.config import Config
from ensue.engine.fake import FakeEngine
from ensue.limits.memory import MemoryCounters
from ensue.logs import set_up_logging
from ensue.metrics import Metrics
from ensue.rights import KeyRights
from ensue.served_models import ServedModel, ServedModels
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import KeyStore
from ensue.store.migrate import upgrade
from ensue.store.spending import Spending
from ensue.text.tokenizer import Tokenizer

PROMPT = "The front end reads a request, and then it writes what the engine says, a token at a time, to whoever asked."
CONNECTIONS = (1, 16, 128)
TICK_S = 0.001  # between two looks of the client, and so how fine gaps are
EVENT = b"data: "
LAST_BYTES = b"data: [DONE]\n\n\r\n0\r\n\r\n"


# ---- the two servers


async def serve_ensue(listener: socket.socket, database: Database | None) -> None:
    tokenizer = Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)
    engine = FakeEngine(logits_width=tokenizer.vocab_size, max_model_len=1_000_000)
    config, metrics = Config(), Metrics()
    set_up_logging(config.server)
    models = ServedModels([ServedModel("tiny", engine, tokenizer, config.limits, root="tiny", created=0)])
    if database is None:
        app, token = create_app(models, metrics, config, Access()), ""
    else:
        app, token = app_with_key(models, metrics, config, database)
    await serve(app, listener, config, lambda: _say_ready(token), lambda: engine.close(0.0))


def app_with_key(models: ServedModels, metrics: Metrics, config: Config, database: Database) -> tuple[FastAPI, str]:
    """The second value is the key's token; its limits are so far away that none is met."""
    upgrade(database)
    keys, ledger = KeyStore(database), OpenLedger(database, None, metrics).ledger
    far = 2**40
    rights = KeyRights(requests_per_minute=far, tokens_per_minute=far, concurrent=far, token_budget=far)
    _, token = keys.create("benchmark", rights)
    limits = KeyLimits(MemoryCounters(), Spending(database, ledger), metrics)
    access = Access(keys, limits=limits)
    return create_app(models, metrics, config, access, (LedgerAccountant(ledger),)), token


async def serve_minimal(listener: socket.socket, events: Sequence[bytes], whole: bytes) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for event in events:
            yield event
            await asyncio.sleep(0)  # others have their turn

    async def complete(request: Request) -> Response:
        if (await request.json()).get("stream"):
            return StreamingResponse(stream(), media_type="text/event-stream")
        return Response(whole, media_type="application/json")

    app = Starlette(routes=[Route("/v1/completions", complete, methods=["POST"])])
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", log_config=None, access_log=False, timeout_keep_alive=KEEP_ALIVE_S
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    _say_ready()
    await serving


def _say_ready(token: str = "") -> None:
    print(f"ready {token}", flush=True)


@dataclass(frozen=True, slots=True)
class Served:
    """A server's process, its port, and the token of a key, where one is needed."""

    pid: int
    port: int
    token: str

    def cpu_s(self) -> float:
        """Of all its threads so far; the kernel counts nanoseconds here, and only hundredths in `stat`."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextlib.contextmanager
def served(name: str, recorded: Recorded | None = None) -> Iterator[Served]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = [sys.executable, "-m", "benchmarks.api_overhead", "--serve", name, "--fd", str(listener.fileno())]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the access log is written, as in the product
            text=True,
            pass_fds=(listener.fileno(),),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(recorded.as_json() if recorded else None) + "\n")
            process.stdin.close()
            ready, _, token = process.stdout.readline().partition(" ")
            assert ready == "ready"
            try:
                yield Served(process.pid, listener.getsockname()[1], token.strip())
            finally:
                process.terminate()


# ---- the client


class Client:
    """Connections that each send a request again and again; reads what has come, sleeps, and reads again.

    It is not woken by every event: that would cost the server a switch of processes a token, and count against it.
    """

    def __init__(self, port: int, num: int, request: bytes, last_bytes: bytes) -> None:
        self._request = request
        self._last_bytes = last_bytes
        self._sockets = {s.fileno(): s for s in (socket.create_connection(("127.0.0.1", port)) for _ in range(num))}
        self._poll = select.epoll()
        for fd, connection in self._sockets.items():
            connection.setblocking(False)
            self._poll.register(fd, select.EPOLLIN)
        self.num_events = 0
        self.gaps_s: list[float] = []

    def run(self, num_requests: int) -> list[bytes]:
        """Send so many requests on each connection; returns the last answers."""
        answers = {fd: bytearray() for fd in self._sockets}
        remaining = dict.fromkeys(self._sockets, num_requests)
        last_at: dict[int, float] = {}
        for connection in self._sockets.values():
            connection.send(self._request)
        while remaining:
            time.sleep(TICK_S)
            for fd, _ in self._poll.poll(0):
                data, now = self._sockets[fd].recv(2**20), time.perf_counter()
                if not data:
                    raise ConnectionError("the server closed a connection")
                answers[fd] += data
                if num_events := data.count(EVENT):
                    self.num_events += num_events
                    if fd in last_at:
                        self.gaps_s.append(now - last_at[fd])
                    last_at[fd] = now
                if answers[fd].endswith(self._last_bytes):
                    self._go_on(fd, remaining, last_at, answers)
        return [bytes(answer) for answer in answers.values()]

    def _go_on(
        self, fd: int, remaining: dict[int, int], last_at: dict[int, float], answers: dict[int, bytearray]
    ) -> None:
        last_at.pop(fd, None)
        remaining[fd] -= 1
        if remaining[fd]:
            answers[fd].clear()
            self._sockets[fd].send(self._request)
        else:
            del remaining[fd]

    def close(self) -> None:
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the API answered, for the minimal app to say again."""

    events: list[str]
    whole: str

    def as_json(self) -> dict[str, object]:
        return {"events": self.events, "whole": self.whole}


@dataclass(slots=True)
class Figures:
    """What the rounds of one case came to; the best of each is least disturbed by others on the machine."""

    rates: list[float] = field(default_factory=list)  # tokens or requests a second
    cpu_us: list[float] = field(default_factory=list)  # of each
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return max(self.rates)

    @property
    def cpu(self) -> float:
        return min(self.cpu_us)


def request_bytes(num_tokens: int, *, stream: bool, token: str = "") -> bytes:
    content = json.dumps({"model": "tiny", "prompt": PROMPT, "max_tokens": num_tokens, "stream": stream}).encode()
    lines = ["POST /v1/completions HTTP/1.1", "host: localhost", "content-type: application/json"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    return "\r\n".join((*lines, f"content-length: {len(content)}", "", "")).encode() + content


def record(server: Served, num_tokens: int) -> Recorded:
    """The bytes of one stream and of one whole answer."""
    stream, whole = (
        Client(server.port, 1, request, last_bytes).run(1)[0].partition(b"\r\n\r\n")[2]
        for request, last_bytes in (
            (request_bytes(num_tokens, stream=True), LAST_BYTES),
            (request_bytes(16, stream=False), b"}"),
        )
    )
    events = [line for line in stream.split(b"\r\n") if line.startswith(EVENT)]
    return Recorded([event.decode() for event in events], whole.decode())


@dataclass(frozen=True, slots=True)
class Case:
    """What both servers are asked."""

    name: str
    num_connections: int
    num_requests: int  # on each connection
    units: int  # tokens, or requests, that a request counts as
    request: bytes
    last_bytes: bytes
    has_key: bool = False

    def measure(self, server: Served, figures: Figures) -> None:
        client = Client(server.port, self.num_connections, self.request, self.last_bytes)
        cpu_s, start = server.cpu_s(), time.perf_counter()
        client.run(self.num_requests)
        elapsed_s, used_s = time.perf_counter() - start, server.cpu_s() - cpu_s
        client.close()
        num_units = self.num_connections * self.num_requests * self.units
        figures.rates.append(num_units / elapsed_s)
        figures.cpu_us.append(used_s / num_units * 1e6)
        if client.gaps_s:
            gaps = sorted(client.gaps_s)
            figures.p50_ms.append(statistics.median(gaps) * 1000)
            figures.p99_ms.append(gaps[len(gaps) * 99 // 100] * 1000)


# ---- the comparison


def compare(num_tokens: int, num_rounds: int) -> None:
    with served("ensue") as ours, served("with key") as keyed:
        recorded = record(ours, num_tokens)
        with served("minimal", recorded) as minimal:
            print(f"{len(recorded.events) - 1} events of {num_tokens} tokens a stream; best of {num_rounds} rounds\n")
            print(f"{'':30}{'ensue/s':>11}{'minimal/s':>11}{'ratio':>7}{'µs CPU':>9}{'minimal':>9}{'ratio':>7}")
            gaps = []
            for case in (*cases(num_tokens), *cases(num_tokens, keyed.token)):
                ours_in, minimal_in = Figures(), Figures()
                for _ in range(num_rounds):
                    case.measure(keyed if case.has_key else ours, ours_in)
                    case.measure(minimal, minimal_in)
                _print_row(case.name, ours_in, minimal_in)
                if case.num_connections == max(CONNECTIONS):
                    gaps += [
                        _gaps(f"{case.name}, {name}", each)
                        for name, each in (("ensue", ours_in), ("minimal", minimal_in))
                    ]
            print("", *gaps, sep="\n")


def cases(num_tokens: int, token: str = "") -> list[Case]:
    whole, stream = (
        request_bytes(n, stream=is_stream, token=token) for n, is_stream in ((16, False), (num_tokens, True))
    )
    has_key, suffix = bool(token), ", with key" if token else ""
    return [
        Case(f"requests{suffix}", 16, 50, 1, whole, b"}", has_key),
        *(
            Case(f"tokens, {num} streams{suffix}", num, max(2, 32 // num), num_tokens, stream, LAST_BYTES, has_key)
            for num in CONNECTIONS
        ),
    ]


def _gaps(name: str, figures: Figures) -> str:
    return f"gaps, {name}: p50 {min(figures.p50_ms):.1f} ms, p99 {min(figures.p99_ms):.1f} ms"


def _print_row(name: str, ours: Figures, minimal: Figures) -> None:
    rates = f"{ours.rate:11.0f}{minimal.rate:11.0f}{ours.rate / minimal.rate:7.0%}"
    print(f"{name:30}{rates}{ours.cpu:9.1f}{minimal.cpu:9.1f}{minimal.cpu / ours.cpu:7.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512, help="tokens a stream")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=("ensue", "with key", "minimal"), help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is None:
        compare(options.tokens, options.rounds)
        return
    listener = socket.socket(fileno=options.fd)
    recorded = json.loads(sys.stdin.readline())
    if options.serve == "ensue":
        uvloop.run(serve_ensue(listener, None))
    elif options.serve == "with key":
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(serve_ensue(listener, Database(sqlite_url(Path(folder) / "ensue.db"))))
    else:
        events, whole = [event.encode() for event in recorded["events"]], recorded["whole"].encode()
        uvloop.run(serve_minimal(listener, events, whole))


if __name__ == "__main__":
    main()
