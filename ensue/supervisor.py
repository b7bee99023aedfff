"""Starts the engine worker and the API, watches them, restarts what dies, and ends them together; nothing else.

It imports neither web nor tensor libraries. A child lives no longer than its supervisor: its standard input is a pipe
that closes when the supervisor ends, however that happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ensue.child import Event, ExitCode

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 30.0
HEALTHY_AFTER_S = 60.0  # a child that lived this long starts again without a wait
MAX_FIRST_STARTS = 3  # tries for a child that has never worked
KILL_AFTER_S = 10.0  # beyond the time that a child may take to drain


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep running."""

    role: str
    command: tuple[str, ...]
    settings: bytes  # one line of JSON
    inherited_fds: tuple[int, ...] = ()
    reads_files_on_hangup: bool = False  # SIGHUP is passed on to it


OnEvent = Callable[[str, Event], None]  # (role, event)


class Backoff:
    """How long to wait before the next start: doubles while a child keeps dying young."""

    def __init__(self) -> None:
        self._wait_s = 0.0

    def after(self, lived_s: float) -> float:
        """Seconds to wait, given how long the child lived."""
        if lived_s >= HEALTHY_AFTER_S:
            self._wait_s = 0.0
        self._wait_s = min(LONGEST_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * self._wait_s))
        return self._wait_s


class Child:
    """Keeps one process running until it is stopped."""

    def __init__(self, spec: ChildSpec, on_event: OnEvent) -> None:
        self.spec = spec
        self._on_event = on_event
        self._process: Process | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Start, watch and restart; returns the exit code that ended it for good."""
        backoff, num_starts, has_worked = Backoff(), 0, False
        while True:
            started = time.monotonic()
            code, was_ready = await self._run_once()
            num_starts += 1
            has_worked |= was_ready
            if self._stopping.is_set():
                return code
            if not has_worked and (code == ExitCode.CANNOT_START or num_starts == MAX_FIRST_STARTS):
                return self._give_up(code)
            wait_s = backoff.after(time.monotonic() - started)
            self._on_event(self.spec.role, Event("phase", f"ended with code {code}, starting again in {wait_s:g} s"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)
                return ExitCode.OK

    def _give_up(self, code: int) -> int:
        if code == ExitCode.CANNOT_START:  # it has said why
            return code
        self._on_event(self.spec.role, Event("fatal", f"The {self.spec.role} cannot start: it ended with code {code}."))
        return ExitCode.FAILED

    async def _run_once(self) -> tuple[int, bool]:
        self._process = await asyncio.create_subprocess_exec(
            *self.spec.command,
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=self.spec.inherited_fds,
            start_new_session=True,  # an interrupt typed on the terminal reaches the supervisor alone
        )
        if self._stopping.is_set():  # meanwhile
            self._signal(signal.SIGTERM)
        assert self._process.stdin is not None
        self._process.stdin.write(self.spec.settings + b"\n")  # and then left open: the lifeline
        was_ready = await self._forward_events(self._process)
        return await self._process.wait(), was_ready

    async def _forward_events(self, process: Process) -> bool:
        """Pass the child's events on until it closes its end; true if it was ready at some time."""
        assert process.stdout is not None
        was_ready = False
        async for line in process.stdout:
            event = Event(**json.loads(line))
            was_ready |= event.kind in ("ready", "listening")
            self._on_event(self.spec.role, event)
        return was_ready

    def stop(self) -> None:
        """Ask the process to drain and end."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def hang_up(self) -> None:
        """Let the process read its files again; one that was not told how would end."""
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def supervise(
    worker: ChildSpec | None, apis: Sequence[ChildSpec], on_event: OnEvent, drain_s: float, stop: asyncio.Event
) -> int:
    """Run the children until `stop` is set or one cannot start; returns the exit code of `ensue serve`.

    The API processes end first and together, so that running requests can still be answered; then the worker.
    """
    children = [Child(spec, on_event) for spec in (*apis, worker) if spec is not None]
    tasks = [asyncio.create_task(child.run()) for child in children]
    stop_asked = asyncio.create_task(stop.wait())
    _pass_hangups_on([child for child in children if child.spec.reads_files_on_hangup])
    try:
        await asyncio.wait([*tasks, stop_asked], return_when=asyncio.FIRST_COMPLETED)
        num_apis = len(apis)
        await _stop(children[:num_apis], tasks[:num_apis], drain_s)
        await _stop(children[num_apis:], tasks[num_apis:], drain_s)
    finally:
        stop_asked.cancel()
        for child in children:
            child.kill()
    codes = await asyncio.gather(*tasks)
    return ExitCode.OK if stop.is_set() else max(codes)


async def _stop(children: Sequence[Child], tasks: Sequence[asyncio.Task[int]], drain_s: float) -> None:
    for child in children:
        child.stop()
    if tasks:
        await asyncio.wait(tasks, timeout=drain_s + KILL_AFTER_S)


def _pass_hangups_on(children: list[Child]) -> None:
    """Where nobody reads files again, a hang-up asks for an end, see `stop_on_signals`."""

    def hang_up() -> None:
        for child in children:
            child.hang_up()

    if children:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)


def stop_on_signals(stop: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT asks for a clean end; the second leaves at once, which ends the children too.

    A hang-up asks for a clean end, however often it comes: a terminal that closes may send several.
    """

    def handle() -> None:
        if stop.is_set():
            os._exit(ExitCode.FAILED)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)
    loop.add_signal_handler(signal.SIGHUP, stop.set)
