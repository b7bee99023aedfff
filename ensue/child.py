"""What a child process is told when it starts, and what it reports back; see process.py for the channels."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import BinaryIO, Literal

from ensue.config import Config


class ExitCode(IntEnum):
    """How a child ended."""

    OK = 0
    FAILED = 1  # worth another try
    CANNOT_START = 3  # a StartupError: another try would fail alike


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the model lies and what it is called; resolved once, before any process starts."""

    folder: str
    name: str  # the canonical served name where none is configured
    root: str  # what /v1/models shows: a hub id or the folder's last part, never a path


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """All that a child process needs to know."""

    config: Config
    model: ModelSource
    socket_path: str  # of the engine worker
    listen_fd: int | None = None  # the listening socket of all API processes, inherited
    api_index: int = 0  # of this API process among them
    is_terminal: bool = False  # whether a person reads what the supervisor prints
    is_ephemeral: bool = False  # serves one command without keys, and keeps nothing


EventKind = Literal["phase", "listening", "ready", "key", "fatal"]


@dataclass(frozen=True, slots=True)
class Event:
    """News from a child; `text` is a phase's name, a URL, a key, the path of a key's file or a sentence."""

    kind: EventKind
    text: str = ""
    fraction: float | None = None
    path: str | None = None


class EventWriter:
    """Writes events to the supervisor, one JSON object a line; safe from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        with self._lock:
            self._stream.write(json.dumps(asdict(event)).encode() + b"\n")
            self._stream.flush()

    def phase(self, name: str, fraction: float | None = None) -> None:
        """Report a named step of the start-up; `fraction` is how much of it is done."""
        self.send(Event("phase", name, fraction))
