"""The prover's process: `python -m ensue.guided.prover_process CPU_SECONDS MEMORY_BYTES NESTING`. It may be killed.

Questions come on standard input, whose end means that the asker is gone; answers go to standard output. Each proof runs
under its own limits of CPU time and memory, on a small stack: what fits here fits the engine worker.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import resource
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from ensue import core_dumps
from ensue.errors import InvalidGrammar
from ensue.guided.backend import PROVER
from ensue.guided.backends import Backends
from ensue.guided.proof import prove
from ensue.guided.prover_frames import LENGTH_BYTES, Outcome, answer, read_hello, read_question

STACK_BYTES = 4 * 2**20  # the worker has more
MAX_GROWTH_BYTES = 256 * 2**20  # a prover that keeps more than this after a proof ends, and another starts
# Serving goes first: beside an engine that takes all cores, a proof gets a tenth of one.
NICENESS = 10

Inbox = queue.SimpleQueue[Any]


def main(cpu_s: float, memory_bytes: int, nesting: int) -> None:
    """Answer until the asker is gone."""
    _step_back()
    core_dumps.forbid()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    inbox: Inbox = queue.SimpleQueue()
    threading.stack_size(STACK_BYTES)
    threading.Thread(target=_answer, args=(inbox, answers, cpu_s, memory_bytes, nesting), daemon=True).start()
    while (message := _read(sys.stdin.buffer)) is not None:
        inbox.put(message)
    os._exit(0)  # whatever runs


def _step_back() -> None:
    """Take what others leave, also where the kernel divides time by session first and by niceness within one."""
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # such as: it does not
            Path("/proc/self/autogroup").write_text(str(NICENESS))


def _answer(inbox: Inbox, answers: BinaryIO, cpu_s: float, memory_bytes: int, nesting: int) -> None:
    backends = Backends(read_hello(inbox.get()), PROVER)
    backends.get("llguidance")
    at_start = _memory_bytes(_RESIDENT)
    while True:
        constraint = read_question(inbox.get())
        at_start += _prepared(backends, constraint.backend)
        _limit(cpu_s, memory_bytes)
        outcome: Outcome
        try:
            outcome = prove(constraint, backends, nesting)
        except InvalidGrammar as error:
            outcome = error
        except (MemoryError, RecursionError):
            outcome = InvalidGrammar("The constraint is too large or nested too deep.")
        except Exception as error:  # a process's border: it goes on
            outcome = InvalidGrammar(f"The constraint cannot be compiled: {type(error).__name__}.")
        _lift_limits()
        is_last = _memory_bytes(_RESIDENT) - at_start > MAX_GROWTH_BYTES
        answers.write(answer(outcome, is_last=is_last))
        answers.flush()
        if is_last:
            os._exit(0)


def _prepared(backends: Backends, name: str) -> int:
    """Load a library before the limits hold; how many bytes it takes."""
    before = _memory_bytes(_RESIDENT)
    with contextlib.suppress(Exception):  # the proof says so
        backends.get(name)
    return _memory_bytes(_RESIDENT) - before


def _read(stream: BinaryIO) -> Any:
    header = stream.read(LENGTH_BYTES)
    data = stream.read(int.from_bytes(header, "little")) if len(header) == LENGTH_BYTES else b""
    return json.loads(data) if data else None


def _limit(cpu_s: float, memory_bytes: int) -> None:
    """Beyond its CPU time the kernel kills the process; beyond its memory, allocations fail."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + cpu_s))
    _set_soft(resource.RLIMIT_AS, _memory_bytes(_VIRTUAL) + memory_bytes)


def _lift_limits() -> None:
    _set_soft(resource.RLIMIT_CPU, resource.RLIM_INFINITY)
    _set_soft(resource.RLIMIT_AS, resource.RLIM_INFINITY)


def _set_soft(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    is_beyond = hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard)
    resource.setrlimit(kind, (hard if is_beyond else value, hard))


_VIRTUAL, _RESIDENT = 0, 1  # columns of statm


def _memory_bytes(column: int) -> int:
    return int(Path("/proc/self/statm").read_text().split()[column]) * resource.getpagesize()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
