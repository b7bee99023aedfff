"""The engine over a Unix socket to a worker: connects and reconnects, restarts nothing.

A request is accepted or refused here, at once: `check` is a pure function of the request and of what the worker said of
itself, and room is known by the credit that came with the last step.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ensue.engine import streams, wire
from ensue.engine.check import check
from ensue.engine.credit import CreditAccount
from ensue.engine.output_queue import OutputQueue
from ensue.engine.wire import Abort, Add, Bye, Failed, Heartbeat, Hello, Loading, Message, Ready, Step, Stop
from ensue.errors import EngineDead, Overloaded
from ensue.outputs import EngineInfo, EngineStats
from ensue.request import GenerationRequest

FIRST_RETRY_S, LONGEST_RETRY_S = 0.02, 0.5
STALL_AFTER_S = 30.0  # a step that takes longer makes the engine not ready
SILENT_AFTER_S = 5.0  # so does a silence, as a worker that runs sends heartbeats also during a step
LOADING_RETRY_AFTER_S = 5

log = structlog.get_logger(__name__)


class EngineClient:
    """One worker, as the layers above see it."""

    def __init__(
        self,
        socket_path: Path,
        *,
        stall_after_s: float = STALL_AFTER_S,
        silent_after_s: float = SILENT_AFTER_S,
        on_phase: Callable[[str, float | None], None] | None = None,
    ) -> None:
        """
        Args:
            stall_after_s: that a step may take.
            silent_after_s: well above the time between two heartbeats of the worker.
            on_phase: called with each phase and the fraction of it that is done.
        """
        self._socket_path = socket_path
        self._stall_after_s = stall_after_s
        self._silent_after_s = silent_after_s
        self._on_phase = on_phase
        self._phase, self._phase_began_at = "starting", time.monotonic()
        self._info: EngineInfo | None = None
        self._stats = EngineStats()
        self._step_age_s, self._heard_at = 0.0, time.monotonic()
        self._is_draining = False
        self._num_handles = 0
        self._generations: dict[int, ClientGeneration] = {}
        self._credit = CreditAccount()
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    # ---- the engine's contract

    @property
    def info(self) -> EngineInfo:
        """What the worker said when it was ready last.

        Raises:
            Overloaded: it never was.
        """
        if self._info is None:
            raise Overloaded("The model is loading.", code="model_loading", retry_after_s=LOADING_RETRY_AFTER_S)
        return self._info

    @property
    def is_ready(self) -> bool:
        return self.phase == "ready"

    @property
    def phase(self) -> str:
        if self._is_draining:
            return "draining"
        if self._phase != "ready":
            return self._phase
        is_stalled = self._stuck_s > self._stall_after_s or self._silence_s > self._silent_after_s
        return "stalled" if is_stalled else "ready"

    @property
    def phase_elapsed_s(self) -> float:
        return self._stuck_s if self.phase == "stalled" else time.monotonic() - self._phase_began_at

    @property
    def _stuck_s(self) -> float:
        """Age of the running step: as told last, and the silence since; a frozen process tells nothing."""
        return self._step_age_s + self._silence_s

    @property
    def _silence_s(self) -> float:
        return time.monotonic() - self._heard_at

    def stats(self) -> EngineStats:
        return self._stats

    async def generate(self, request: GenerationRequest) -> ClientGeneration:
        """Accept the request or raise; see `engine.base.Engine`."""
        self._refuse_unless_ready()
        check(request, self.info)
        self._credit.take(self._num_handles + 1, request)
        self._num_handles += 1
        generation = ClientGeneration(self, self._num_handles, request.num_samples)
        self._generations[self._num_handles] = generation
        self.send(Add(self._num_handles, request))
        return generation

    async def close(self, drain_s: float) -> None:
        """Refuse new requests, wait for the running ones, then cancel them and disconnect."""
        self._is_draining = True
        deadline = time.monotonic() + drain_s
        while self._generations and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for generation in list(self._generations.values()):
            generation.fail(_draining())
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    # ---- the connection

    def start(self) -> None:
        """Connect, and stay connected, in a task of the running loop."""
        self._task = asyncio.create_task(self._stay_connected())

    def send(self, message: Message) -> None:
        """Queue a message to the worker; dropped where there is none, since its epoch is over then."""
        if self._writer is not None:
            self._writer.write(wire.encode(message))

    def forget(self, handle: int) -> None:
        """No more outputs are wanted for this handle."""
        self._generations.pop(handle, None)
        self._credit.started(handle)

    async def _stay_connected(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            was_ready = False
            try:
                was_ready = await self._connect_once()
            except OSError:  # nobody listens
                pass
            except Exception:  # a fault of ours must not leave the server without an engine
                log.exception("the connection to the engine worker failed")
            retry_s = FIRST_RETRY_S if was_ready else retry_s
            await asyncio.sleep(retry_s)
            retry_s = min(LONGEST_RETRY_S, 2 * retry_s)

    async def _connect_once(self) -> bool:
        """Stay until the worker closes; true if it was ready at some time.

        Raises:
            OSError: nobody listens.
        """
        reader, self._writer = await asyncio.open_unix_connection(str(self._socket_path))
        try:
            return await self._converse(reader)
        finally:
            self._writer.close()
            self._writer = None
            self._lose_all()

    async def _converse(self, reader: asyncio.StreamReader) -> bool:
        was_ready = False
        self.send(Hello())
        try:
            while (message := await streams.read(reader)) is not None:
                self._take(message)
                was_ready |= isinstance(message, Ready)
        except wire.WireError as error:
            log.error("the engine worker cannot be understood", reason=error.message)
        return was_ready

    def _take(self, message: Message) -> None:
        self._heard_at = time.monotonic()
        match message:
            case Step(outputs, stats, grant):
                self._stats, self._step_age_s = stats, 0.0
                self._credit.grant(grant)
                for handle, output in outputs:
                    self._credit.started(handle)
                    if generation := self._generations.get(handle):
                        generation.put(output)
            case Heartbeat(step_age_s, _):
                self._step_age_s = step_age_s
            case Failed(handle):
                if generation := self._generations.get(handle):
                    generation.fail(message.as_error())
            case Loading(phase, fraction):
                self._enter(phase, fraction)
            case Ready(info, _, grant):
                self._info, self._credit = info, CreditAccount(grant, info.max_request_tokens)
                self._enter("ready")
            case Bye(reason):
                log.info("the engine worker says goodbye", reason=reason)

    def _enter(self, phase: str, fraction: float | None = None) -> None:
        if phase != self._phase:
            self._phase, self._phase_began_at = phase, time.monotonic()
        if self._on_phase is not None:
            self._on_phase(phase, fraction)

    def _lose_all(self) -> None:
        """The worker is gone, and with it every handle of its epoch."""
        self._step_age_s = 0.0
        self._enter("dead")
        for generation in list(self._generations.values()):
            generation.fail(_dead())

    def _refuse_unless_ready(self) -> None:
        match self.phase:
            case "ready" | "stalled":
                return
            case "draining":
                raise _draining()
            case "dead":
                raise _dead()
            case phase:
                raise Overloaded(
                    f"The model is loading ({phase}).", code="model_loading", retry_after_s=LOADING_RETRY_AFTER_S
                )


class ClientGeneration(OutputQueue):
    """The outputs of one request."""

    def __init__(self, client: EngineClient, handle: int, num_samples: int) -> None:
        super().__init__(num_samples, lambda: client.forget(handle))
        self._client = client
        self._handle = handle

    def stop(self, sample_index: int) -> None:
        self._client.send(Stop(self._handle, sample_index))

    async def aclose(self) -> None:
        """Cancel every sample; idempotent, and nothing to do after the last finish."""
        if not self.has_ended:
            self.fail(Overloaded("The request was cancelled."))
            self._client.send(Abort(self._handle))


def _draining() -> Overloaded:
    return Overloaded("The server is shutting down.", code="draining", retry_after_s=LOADING_RETRY_AFTER_S)


def _dead() -> EngineDead:
    return EngineDead("The engine has stopped and is being restarted.", retry_after_s=LOADING_RETRY_AFTER_S)
