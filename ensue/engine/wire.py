"""What the API and the engine worker say to each other, and how it stands on the socket.

A frame is a u32 length, one byte for the kind of message, and the message as msgpack. No pickle, and nothing that a
decoder of plain data could not read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import msgspec

from ensue import errors
from ensue.errors import EnsueError, RequestError
from ensue.outputs import EngineInfo, EngineStats, TokenOutput
from ensue.request import GenerationRequest

VERSION = 1
MAX_FRAME_BYTES = 256 * 2**20
HEADER = struct.Struct("<IB")  # length of kind and message, kind


@dataclass(frozen=True, slots=True)
class Hello:
    """The client's first message."""

    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Add:
    """Run a request; `handle` is the client's number for it."""

    handle: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class Stop:
    """End one sample."""

    handle: int
    sample_index: int


@dataclass(frozen=True, slots=True)
class Abort:
    """End a request and say nothing more of it."""

    handle: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Finish what runs, take no more, then end."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Room for this client's requests, as it was when `num_adds` of its Add messages had been taken in."""

    num_requests: int
    num_tokens: int
    num_adds: int


@dataclass(frozen=True, slots=True)
class Loading:
    """A named step of the start, `fraction` of it done; or `draining`. Until Ready no request is taken."""

    phase: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded. A new epoch knows nothing of the handles of an old one."""

    info: EngineInfo
    epoch: int
    grant: Grant


@dataclass(frozen=True, slots=True)
class Step:
    """What one or more steps brought for this client, as (handle, output)."""

    outputs: list[tuple[int, TokenOutput]]
    stats: EngineStats
    grant: Grant


@dataclass(frozen=True, slots=True)
class Failed:
    """A request was refused after all; `error` is the name of a class in errors.py."""

    handle: int
    error: str
    message: str
    param: str | None = None
    code: str | None = None
    retry_after_s: int | None = None

    @classmethod
    def of(cls, handle: int, error: RequestError) -> Failed:
        return cls(handle, type(error).__name__, error.message, error.param, error.code, error.retry_after_s)

    def as_error(self) -> RequestError:
        kind: type[RequestError] = getattr(errors, self.error)
        return kind(self.message, param=self.param, code=self.code, retry_after_s=self.retry_after_s)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """From the I/O thread, so that a step that hangs shows as age."""

    step_age_s: float
    has_work: bool


@dataclass(frozen=True, slots=True)
class Bye:
    """The worker ends, or does not speak the client's version."""

    reason: str


Message = Hello | Add | Stop | Abort | Drain | Loading | Ready | Step | Failed | Heartbeat | Bye
_KINDS: tuple[type[Any], ...] = (Hello, Add, Stop, Abort, Drain, Loading, Ready, Step, Failed, Heartbeat, Bye)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_DECODERS = tuple(msgspec.msgpack.Decoder(kind) for kind in _KINDS)
_ENCODER = msgspec.msgpack.Encoder()


class WireError(EnsueError):
    """The other side does not speak this protocol."""


def encode(message: Message) -> bytes:
    """One frame."""
    body = _ENCODER.encode(message)
    return HEADER.pack(len(body) + 1, _NUMBERS[type(message)]) + body


def decode(kind: int, body: bytes) -> Message:
    """The message of a frame.

    Raises:
        WireError: an unknown kind, or a body that is not such a message.
    """
    if kind >= len(_DECODERS):
        raise WireError(f"Unknown kind of message: {kind}.")
    try:
        message: Message = _DECODERS[kind].decode(body)
    except (msgspec.MsgspecError, ValueError, EnsueError) as error:  # the last: our types validate themselves
        raise WireError(f"A {_KINDS[kind].__name__} message cannot be read: {error}.") from None
    return message


def body_length(header: bytes) -> tuple[int, int]:
    """From a header: how many bytes of body follow, and the kind.

    Raises:
        WireError: more than any message may have.
    """
    length, kind = HEADER.unpack(header)
    if not 1 <= length <= MAX_FRAME_BYTES:
        raise WireError(f"A frame of {length} bytes is out of bounds.")
    return length - 1, kind
