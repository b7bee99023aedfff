"""Refused authentications for the audit log: so many a minute one by one, of the rest only the number."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ensue.errors import EnsueError
from ensue.store.audit import AuditLog

PER_MINUTE = 60
_NUM_WAITING = 1000

log = structlog.get_logger("ensue.audit")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who was refused where; nothing of the token."""

    code: str  # of the error; empty where it has none
    address: str
    route: str
    key_id: str = ""  # where the token belongs to one
    request_id: str = ""


class RefusalLog:
    """Writes refusals from a thread of its own; never blocks, never raises, never grows."""

    def __init__(
        self, audit: AuditLog, *, per_minute: int = PER_MINUTE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._audit = audit
        self._per_minute = per_minute
        self._clock = clock
        self._window_ends, self._left, self._num_unwritten = 0.0, 0, 0
        self._waiting: queue.Queue[tuple[Refusal, int] | None] = queue.Queue(_NUM_WAITING)
        self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
        self._thread.start()

    def note(self, refusal: Refusal) -> None:
        """To be called from one thread."""
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends, self._left = now + 60.0, self._per_minute
        if not self._left:
            self._num_unwritten += 1
            return
        try:
            self._waiting.put_nowait((refusal, self._num_unwritten))
        except queue.Full:
            self._num_unwritten += 1
            return
        self._left -= 1
        self._num_unwritten = 0

    def close(self) -> None:
        """Write what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._write(*item)
            except EnsueError:
                log.exception("a refusal could not be written")

    def _write(self, refusal: Refusal, num_unwritten: int) -> None:
        details: dict[str, str | int | bool | list[str] | None] = {
            "code": refusal.code,
            "address": refusal.address,
            "request_id": refusal.request_id,
        }
        if num_unwritten:
            details["unwritten_before"] = num_unwritten
        self._audit.append("auth.refused", actor=refusal.key_id, target=refusal.route, details=details)
