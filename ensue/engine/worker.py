"""The engine process: inbox → step → outbox. Serves several clients on one Unix socket.

The main thread runs the step loop and nothing else; a second thread owns the socket, so that a slow or hostile client
never holds up a step, and heartbeats go out while a step hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import secrets
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from ensue.engine import streams, wire
from ensue.engine.grammars import Grammars, Loaded
from ensue.engine.llm_engine import Credit, Output
from ensue.engine.sequence import Handle
from ensue.engine.wire import (
    Abort,
    Add,
    Bye,
    Drain,
    Failed,
    Grant,
    Heartbeat,
    Hello,
    Loading,
    Message,
    Ready,
    Step,
    Stop,
)
from ensue.errors import Overloaded, RequestError
from ensue.guided.backend import Matcher
from ensue.outputs import EngineInfo, EngineStats
from ensue.request import GenerationRequest

HEARTBEAT_S = 0.5
MAX_BEHIND_BYTES = 64 * 2**20  # a client with more unread bytes is dropped
DRAINING = Loading("draining")

log = structlog.get_logger(__name__)

Report = Callable[[str, float | None], None]


class StepEngine(Protocol):
    """What the worker needs of an LLMEngine."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def has_work(self) -> bool: ...

    def add(self, handle: Handle, request: GenerationRequest, matcher: Matcher | None = None) -> None: ...

    def stop(self, handle: Handle, sample_index: int) -> None: ...

    def abort(self, handle: Handle) -> None: ...

    def abort_client(self, client: int) -> None: ...

    def step(self) -> list[Output]: ...

    def stats(self) -> EngineStats: ...

    def credit(self) -> Credit: ...


@dataclass(frozen=True, slots=True)
class _Joined:
    """A client has said hello."""


@dataclass(frozen=True, slots=True)
class _Left:
    """A client's connection has ended."""


@dataclass(frozen=True, slots=True)
class _GrammarLoaded:
    """The grammar of a request that waits for it is there, or can't be."""

    add: Add
    loaded: Loaded


News = Message | _Joined | _Left | _GrammarLoaded
Inbox = queue.SimpleQueue[tuple[int, News]]
_NOBODY = 0  # the client number of messages from this process itself


def run_worker(build: Callable[[Report], StepEngine], grammars: Grammars, socket_path: Path, report: Report) -> None:
    """Listen, load the model, then serve until SIGTERM or a Drain message; returns when drained.

    Raises:
        Exception: whatever a step raised. That is fatal: the process must end, and be started again.
    """
    inbox: Inbox = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    outbox = Outbox(inbox, socket_path)

    def announce(phase: str, fraction: float | None = None) -> None:
        outbox.loading(phase, fraction)
        report(phase, fraction)

    announce("starting")
    loop = StepLoop(build(announce), grammars, inbox, outbox)
    signal.signal(signal.SIGTERM, lambda *_: inbox.put((_NOBODY, Drain())))
    try:
        loop.run()
    except Exception:
        log.exception("a step failed; the worker ends")
        outbox.close("a step failed")
        raise
    outbox.close("drained")


class StepLoop:
    """Takes messages between steps, steps while there is work, sends what each step brought."""

    def __init__(self, engine: StepEngine, grammars: Grammars, inbox: Inbox, outbox: Outbox) -> None:
        self._engine = engine
        self._grammars = grammars
        self._loading: set[Handle] = set()  # requests that wait for their grammar; the engine doesn't know them yet
        self._inbox = inbox
        self._outbox = outbox
        self._epoch = secrets.randbits(63)
        self._num_adds: dict[int, int] = {}  # per client that is there
        self._is_draining = False

    def run(self) -> None:
        """Until drained."""
        self._outbox.ready()
        while not (self._is_draining and not self._engine.has_work and not self._loading):
            self._take_messages()
            self._send(self._step() if self._engine.has_work else [])  # credit moves without a step, too: by an Abort

    def _step(self) -> list[Output]:
        self._outbox.begin_step()
        outputs = self._engine.step()
        self._outbox.end_step(self._engine.has_work)
        return outputs

    def _take_messages(self) -> None:
        """All that is there; waits for one where there is nothing else to do."""
        with contextlib.suppress(queue.Empty):
            if not self._engine.has_work:
                self._take(*self._inbox.get())
            while True:
                self._take(*self._inbox.get_nowait())

    def _take(self, client: int, message: News) -> None:
        match message:
            case _Joined():
                self._num_adds[client] = 0
                self._outbox.send(
                    client, Ready(self._engine.info, self._epoch, self._grant(client, self._engine.credit()))
                )
                if self._is_draining:
                    self._outbox.send(client, DRAINING)
            case Add() if client in self._num_adds:
                self._num_adds[client] += 1
                self._begin(client, message)
            case _GrammarLoaded(add, loaded):
                self._add_guided(client, add, loaded)
            case Stop(handle, sample_index):
                self._engine.stop((client, handle), sample_index)
            case Abort(handle):
                self._loading.discard((client, handle))
                self._engine.abort((client, handle))
            case _Left():
                self._num_adds.pop(client, None)
                self._loading = {handle for handle in self._loading if handle[0] != client}
                self._engine.abort_client(client)
            case Drain():
                self._is_draining = True
                for each in self._num_adds:
                    self._outbox.send(each, DRAINING)

    def _begin(self, client: int, add: Add) -> None:
        grammar = add.request.grammar
        if self._is_draining:
            self._refuse(client, add, Overloaded("The engine is shutting down.", code="draining", retry_after_s=5))
        elif grammar is None:
            self._add(client, add)
        elif (matcher := self._grammars.get(grammar)) is not None:
            self._add(client, add, matcher)
        else:
            self._loading.add((client, add.handle))
            self._grammars.load(grammar, lambda loaded: self._inbox.put((client, _GrammarLoaded(add, loaded))))

    def _add_guided(self, client: int, add: Add, loaded: Loaded) -> None:
        """Go on with a request whose grammar was waited for, unless nobody wants it any more."""
        if (client, add.handle) not in self._loading:
            return
        self._loading.remove((client, add.handle))
        if isinstance(loaded, RequestError):
            self._refuse(client, add, loaded)
        else:
            self._add(client, add, loaded)

    def _add(self, client: int, add: Add, matcher: Matcher | None = None) -> None:
        try:
            self._engine.add((client, add.handle), add.request, matcher)
        except RequestError as error:
            self._refuse(client, add, error)

    def _refuse(self, client: int, add: Add, error: RequestError) -> None:
        self._outbox.send(client, Failed.of(add.handle, error))

    def _send(self, outputs: list[Output]) -> None:
        """One Step message a client, for those without outputs, too: it carries their credit."""
        by_client: dict[int, list[Output]] = defaultdict(list)
        for output in outputs:
            by_client[output[0][0]].append(output)
        stats, credit = self._engine.stats(), self._engine.credit()
        for client in self._num_adds:
            mine = [(handle, output) for (_, handle), output in by_client[client]]
            self._outbox.send(client, Step(mine, stats, self._grant(client, credit)))

    def _grant(self, client: int, credit: Credit) -> Grant:
        """An equal share of the room for each client that is there, and enough for one request that fits the room."""
        num_clients, most = len(self._num_adds), self._engine.info.max_request_tokens
        return Grant(
            -(-credit.num_requests // num_clients),
            max(credit.num_tokens // num_clients, min(credit.num_tokens, most)),
            self._num_adds[client],
        )


class Outbox:
    """The thread that owns the socket."""

    def __init__(self, inbox: Inbox, socket_path: Path) -> None:
        self._inbox = inbox
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._num_clients = 0
        self._loading: Loading | None = Loading("starting")
        self._step_began_at: float | None = None
        self._has_work = False
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        threading.Thread(target=self._serve, args=(socket_path, listening), name="socket", daemon=True).start()
        listening.wait()

    # ---- called by the main thread

    def loading(self, phase: str, fraction: float | None) -> None:
        """Tell every client, and those to come, how far the start is."""
        self._loop.call_soon_threadsafe(self._set_loading, Loading(phase, fraction))

    def ready(self) -> None:
        """From now on a client that says hello joins the step loop."""
        self._loop.call_soon_threadsafe(self._set_loading, None)

    def send(self, client: int, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._write, client, message)

    def begin_step(self) -> None:
        self._step_began_at, self._has_work = time.monotonic(), True

    def end_step(self, has_work: bool) -> None:
        self._step_began_at, self._has_work = None, has_work

    def close(self, reason: str) -> None:
        """Say goodbye and wait until what was sent is on its way."""
        asyncio.run_coroutine_threadsafe(self._close(reason), self._loop).result(timeout=5)

    # ---- the thread itself

    def _serve(self, socket_path: Path, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen(socket_path))
        listening.set()
        self._loop.run_until_complete(self._beat())  # for ever

    async def _listen(self, socket_path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket_path)
        await asyncio.start_unix_server(self._serve_client, str(socket_path))
        os.chmod(socket_path, 0o600)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._num_clients += 1
        client = self._num_clients
        try:
            hello = await streams.read(reader)
            if hello != Hello():
                writer.write(wire.encode(Bye(f"This worker speaks version {wire.VERSION}.")))
                return
            self._writers[client] = writer
            if self._loading is None:
                self._inbox.put((client, _Joined()))
            else:
                self._write(client, self._loading)
            while (message := await streams.read(reader)) is not None:
                self._inbox.put((client, message))
        except wire.WireError as error:
            log.warning("a client was dropped", reason=error.message)
        finally:
            self._writers.pop(client, None)
            self._inbox.put((client, _Left()))
            writer.close()

    def _set_loading(self, loading: Loading | None) -> None:
        self._loading = loading
        for client in list(self._writers):
            if loading is None:
                self._inbox.put((client, _Joined()))
            else:
                self._write(client, loading)

    def _write(self, client: int, message: Message) -> None:
        writer = self._writers.get(client)
        if writer is None:
            return
        writer.write(wire.encode(message))
        if writer.transport.get_write_buffer_size() > MAX_BEHIND_BYTES:
            log.warning("a client was dropped", reason="it does not read")
            writer.transport.abort()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            began_at = self._step_began_at
            age = 0.0 if began_at is None else time.monotonic() - began_at
            for client in list(self._writers):
                self._write(client, Heartbeat(age, self._has_work))

    async def _close(self, reason: str) -> None:
        for client, writer in list(self._writers.items()):
            self._write(client, Bye(reason))
            writer.close()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(2):
                for writer in list(self._writers.values()):
                    await writer.wait_closed()
