"""The supervisor with scripted children: start, restart, refuse, end together."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.child import Event, ExitCode
from ensue.supervisor import (
    FIRST_BACKOFF_S,
    HEALTHY_AFTER_S,
    LONGEST_BACKOFF_S,
    MAX_FIRST_STARTS,
    Backoff,
    Child,
    ChildSpec,
    supervise,
)
from tests.product.server import is_alive, wait_until

READY = 'print(\'{"kind": "ready", "text": "%d"}\' % os.getpid(), flush=True)'
WAIT_FOR_SIGTERM = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"


def child(role: str, *statements: str) -> ChildSpec:
    script = "import os, signal, sys\n" + "\n".join(statements)
    return ChildSpec(role, (sys.executable, "-c", script), b"{}")


class Recorder:
    """Keeps the events and calls back on those that are asked for."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []
        self.on_ready: Callable[[str, int], None] = lambda role, pid: None

    def __call__(self, role: str, event: Event) -> None:
        self.events.append((role, event))
        if event.kind == "ready":
            self.on_ready(role, int(event.text))


async def test_children_end_together_when_asked() -> None:
    stop, recorder, pids = asyncio.Event(), Recorder(), list[int]()

    def note(role: str, pid: int) -> None:
        pids.append(pid)
        if len(pids) == 2:
            stop.set()

    recorder.on_ready = note
    specs = (child("worker", READY, WAIT_FOR_SIGTERM), [child("api", READY, WAIT_FOR_SIGTERM)])
    assert await supervise(*specs, recorder, 5.0, stop) == ExitCode.OK
    assert not any(is_alive(pid) for pid in pids)


async def test_several_api_processes_are_asked_to_end_together_and_the_worker_after_them(tmp_path: Path) -> None:
    """Each API process ends only once both were asked; the worker tells who was there when it was."""
    stop, recorder = asyncio.Event(), Recorder()
    recorder.on_ready = lambda role, pid: stop.set() if len(recorder.events) == 3 else None
    log = tmp_path / "log"
    note = "def note(*_): open({!r}, 'a').write({!r})"
    both = f"import time\nwhile open({str(log)!r}).read().count('a') < 2: time.sleep(0.01)"
    api = (note.format(str(log), "a"), "signal.signal(signal.SIGTERM, note)", READY, "signal.pause()", both)
    worker = (note.format(str(log), "w"), "signal.signal(signal.SIGTERM, note)", READY, "signal.pause()")
    specs = child("worker", *worker), [child("api 1", *api), child("api 2", *api)]
    assert await supervise(*specs, recorder, 20.0, stop) == ExitCode.OK
    assert log.read_text() == "aaw"


async def test_a_child_that_is_killed_starts_again() -> None:
    stop, recorder, pids = asyncio.Event(), Recorder(), list[int]()

    def kill_once(role: str, pid: int) -> None:
        if role == "worker":
            pids.append(pid)
            os.kill(pid, 9) if len(pids) == 1 else stop.set()

    recorder.on_ready = kill_once
    specs = (child("worker", READY, WAIT_FOR_SIGTERM), [child("api", WAIT_FOR_SIGTERM)])
    assert await supervise(*specs, recorder, 5.0, stop) == ExitCode.OK
    assert len(set(pids)) == 2
    assert any("starting again" in event.text for role, event in recorder.events if role == "worker")


async def test_a_child_that_cannot_start_ends_all() -> None:
    recorder = Recorder()
    fatal = 'print(\'{"kind": "fatal", "text": "No such model."}\', flush=True)'
    specs = (child("worker", fatal, "sys.exit(3)"), [child("api", WAIT_FOR_SIGTERM)])
    assert await supervise(*specs, recorder, 5.0, asyncio.Event()) == ExitCode.CANNOT_START
    assert ("worker", Event("fatal", "No such model.")) in recorder.events


@pytest.mark.parametrize("end", ["sys.exit(1)", "sys.exit(0)", "os.kill(os.getpid(), 9)"])
async def test_a_child_that_dies_at_every_start_ends_all(end: str) -> None:
    recorder = Recorder()
    specs = (child("worker", end), [child("api", READY, WAIT_FOR_SIGTERM)])
    assert await supervise(*specs, recorder, 5.0, asyncio.Event()) == ExitCode.FAILED
    texts = [event.text for role, event in recorder.events if role == "worker"]
    assert len(texts) == MAX_FIRST_STARTS
    assert texts[-1].startswith("The worker cannot start: it ended with code ")


async def test_a_child_that_has_worked_is_started_again_whatever_ends_it(tmp_path: Path) -> None:
    stop, recorder, pids = asyncio.Event(), Recorder(), list[int]()

    def note(role: str, pid: int) -> None:
        pids.append(pid)
        if len(pids) == 2:
            stop.set()

    recorder.on_ready = note
    count = f"open({str(tmp_path / 'starts')!r}, 'a+').write('x'); n = os.stat({str(tmp_path / 'starts')!r}).st_size"
    lives = f"{count}\nif n in (1, 5): {READY}\nif n < 5: sys.exit(3)"
    assert await supervise(None, [child("api", lives, WAIT_FOR_SIGTERM)], recorder, 5.0, stop) == ExitCode.OK
    assert len(pids) == 2


async def test_a_child_that_is_stopped_while_it_is_being_started_ends_at_once() -> None:
    one = Child(child("api", WAIT_FOR_SIGTERM), Recorder())
    running = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    one.stop()
    assert await asyncio.wait_for(running, 30) in (ExitCode.OK, -signal.SIGTERM)


async def test_a_child_reads_its_settings_and_then_the_lifeline() -> None:
    stop, recorder = asyncio.Event(), Recorder()
    recorder.on_ready = lambda role, pid: stop.set()
    check = "assert sys.stdin.readline() == '{}\\n'"
    code = await supervise(None, [child("api", check, READY, WAIT_FOR_SIGTERM)], recorder, 5.0, stop)
    assert code == ExitCode.OK


def test_backoff_doubles_to_a_bound_and_starts_over_after_a_healthy_life() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.0) for _ in range(10)]
    assert waits[:3] == [FIRST_BACKOFF_S, 2 * FIRST_BACKOFF_S, 4 * FIRST_BACKOFF_S]
    assert waits[-1] == LONGEST_BACKOFF_S
    assert backoff.after(HEALTHY_AFTER_S) == FIRST_BACKOFF_S


ORPHAN_SCRIPT = """
import asyncio, sys
from ensue.supervisor import ChildSpec, supervise
spec = ChildSpec("api", (sys.executable, "-c", sys.argv[1]), b"{}")
asyncio.run(supervise(None, [spec], lambda role, event: print(event.text, flush=True), 1.0, asyncio.Event()))
"""


def test_a_killed_supervisor_leaves_no_orphan() -> None:
    """The children of a supervisor that gets SIGKILL see the end of their lifeline."""
    child_script = f"import os, sys\n{READY}\nsys.stdin.read()"
    command = [sys.executable, "-c", ORPHAN_SCRIPT, child_script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert is_alive(pid)
        supervisor.kill()
    assert wait_until(lambda: not is_alive(pid), 20)  # a busy machine may take longer than the second that is promised
