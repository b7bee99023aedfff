"""Asks the prover's process, starts another where it was killed, and remembers what it said.

Askers take turns by name: one who asks for much that costs delays another by no more than a proof or two.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass

from ensue.errors import InvalidGrammar, Overloaded
from ensue.guided.constraint import MAX_GRAMMAR_BYTES, MAX_NESTING, MAX_REGEX_BYTES, WHITESPACE, Constraint, check_size
from ensue.guided.proof_cache import ProofCache
from ensue.guided.prover_frames import LENGTH_BYTES, Outcome, hello, question, read_answer
from ensue.guided.vocabulary import Vocabulary
from ensue.request import CompiledGrammar
from ensue.turns import Turns

_STACK_SIGNALS = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL)


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """What proofs may cost."""

    cpu_s: float = 5.0
    memory_bytes: int = 512 * 2**20  # growth during one proof
    grammar_bytes: int = MAX_GRAMMAR_BYTES  # of schemas and choices, too; tools have a limit of their own
    regex_bytes: int = MAX_REGEX_BYTES
    nesting: int = MAX_NESTING  # of schemas and groups
    wall_s: float = 120.0  # on a machine that is busy, where the prover goes last; then it is killed
    cache_bytes: int = 64 * 2**20
    max_waiting: int = 256


@dataclass(slots=True)
class ProofStats:
    """Counts since the start."""

    num_hits: int = 0  # answered from memory, or together with an equal question
    num_misses: int = 0
    num_refused: int = 0  # of the misses
    num_kills: int = 0  # of the prover


@dataclass(slots=True)
class _Job:
    """A proof that somebody waits for."""

    owner: str
    task: asyncio.Task[Outcome]
    num_askers: int = 0
    has_begun: bool = False


class Prover:
    """Proves constraints for one vocabulary, one at a time. Used from one event loop."""

    def __init__(self, vocabulary: Callable[[], Vocabulary], limits: ProofLimits | None = None) -> None:
        """
        Args:
            vocabulary: asked for in a thread, when a process starts.
        """
        self.stats = ProofStats()
        self._limits = limits or ProofLimits()
        self._vocabulary = vocabulary
        self._cache = ProofCache(self._limits.cache_bytes)
        self._running: dict[bytes, _Job] = {}
        self._turns = Turns()
        self._process: Process | None = None

    async def prove(self, constraint: Constraint, owner: str = "") -> CompiledGrammar:
        """
        Args:
            owner: in whose turn.

        Raises:
            InvalidGrammar: malformed, impossible or too costly; `param` is the place within the constraint.
            Overloaded: too many proofs wait, or this one's prover was killed from outside or can't be started.
        """
        self._check_size(constraint)
        outcome = await self._outcome(constraint, owner)
        if isinstance(outcome, InvalidGrammar):
            raise InvalidGrammar(outcome.message, param=outcome.param)
        return outcome

    def _check_size(self, constraint: Constraint) -> None:
        limits = self._limits
        if constraint.kind != "tools":
            check_size(constraint.text, limits.regex_bytes if constraint.kind == "regex" else limits.grammar_bytes)
        check_size(constraint.whitespace_pattern or "", limits.regex_bytes, WHITESPACE)

    async def close(self) -> None:
        """End the process and whatever still waits for it."""
        tasks = [job.task for job in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end_process()

    async def _outcome(self, constraint: Constraint, owner: str) -> Outcome:
        digest = constraint.digest
        if (known := self._cache.get(digest)) is not None:
            self.stats.num_hits += 1
            return known
        if digest in self._running:
            self.stats.num_hits += 1
        else:
            self._start(digest, constraint, owner)
        job = self._running[digest]
        job.num_askers += 1
        try:
            return await asyncio.shield(job.task)  # others may wait for it, too
        finally:
            job.num_askers -= 1
            if not job.num_askers and not job.has_begun:  # else its answer is worth remembering
                self._forget(digest, job)
                job.task.cancel()

    def _start(self, digest: bytes, constraint: Constraint, owner: str) -> None:
        if len(self._running) >= self._limits.max_waiting and self._has_its_share(owner):
            raise Overloaded("Too many constraints wait to be checked.", retry_after_s=1)
        self.stats.num_misses += 1
        job = _Job(owner, asyncio.create_task(self._prove(digest, constraint, owner)))
        self._running[digest] = job
        job.task.add_done_callback(lambda done: self._finish(digest, job, done))

    def _has_its_share(self, owner: str) -> bool:
        owners = [job.owner for job in self._running.values()]
        return owners.count(owner) >= max(1, self._limits.max_waiting // len({*owners, owner}))

    def _forget(self, digest: bytes, job: _Job) -> None:
        if self._running.get(digest) is job:
            del self._running[digest]

    def _finish(self, digest: bytes, job: _Job, task: asyncio.Task[Outcome]) -> None:
        self._forget(digest, job)
        if not task.cancelled() and task.exception() is None:  # read, so that nobody misses it
            self.stats.num_refused += isinstance(task.result(), InvalidGrammar)

    async def _prove(self, digest: bytes, constraint: Constraint, owner: str) -> Outcome:
        async with self._turns.take(owner):
            self._running[digest].has_begun = True
            outcome = await self._ask(constraint)
        self._cache.put(digest, outcome)
        return outcome

    async def _ask(self, constraint: Constraint) -> Outcome:
        process = await self._ready_process()
        assert process.stdin is not None
        try:
            process.stdin.write(question(constraint))
            outcome, is_last = await asyncio.wait_for(_read_answer(process), self._limits.wall_s)
        except TimeoutError:
            process.kill()
            return await self._killed(process)
        except (asyncio.IncompleteReadError, ConnectionError):
            return await self._killed(process)
        except asyncio.CancelledError:
            await self._end_process()  # its answer would be taken for the next one's
            raise
        if is_last:
            await self._end_process()
        return outcome

    async def _ready_process(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            limits = map(str, (self._limits.cpu_s, self._limits.memory_bytes, self._limits.nesting))
            command = (sys.executable, "-m", "ensue.guided.prover_process", *limits)
            greeting = await asyncio.to_thread(lambda: hello(self._vocabulary()))
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
                )
            except OSError:  # too many files are open, or processes, or there is no memory
                raise Overloaded("The check of the constraint cannot be started now.", retry_after_s=1) from None
            assert self._process.stdin is not None
            self._process.stdin.write(greeting)
        return self._process

    async def _killed(self, process: Process) -> Outcome:
        """What the end of the prover says of the constraint that it was at."""
        code = await process.wait()
        self._process = None
        self.stats.num_kills += 1
        if code == -signal.SIGXCPU:
            return InvalidGrammar(f"The constraint takes more than {self._limits.cpu_s:g} seconds to compile.")
        if code in _STACK_SIGNALS:
            return InvalidGrammar("The constraint is too large or nested too deep.")
        raise Overloaded("The check of the constraint was interrupted; try again.", retry_after_s=1)

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _read_answer(process: Process) -> tuple[Outcome, bool]:
    assert process.stdout is not None
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "little")
    return read_answer(await process.stdout.readexactly(length))
