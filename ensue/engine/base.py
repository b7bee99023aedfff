"""The contract between the server and whatever produces tokens: all of the engine that the layers above may import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from ensue.outputs import EngineInfo, EngineStats, TokenOutput
from ensue.request import GenerationRequest


class Generation(Protocol):
    """The outputs of one accepted request: prompt slices ascending, then tokens, exactly one finish per sample.

    Iteration ends after the last finish. Outputs of one sample merge by concatenation, so that a slow reader gets
    fewer, larger ones. A failure of the whole request is raised as a `ServerError` where its next output is read.

    It is read by iteration or, where waking a task for every token costs too much, by `listen` and `poll`.
    """

    def __aiter__(self) -> AsyncIterator[TokenOutput]: ...

    async def __anext__(self) -> TokenOutput: ...

    def listen(self, listener: Callable[[], None]) -> None:
        """Have this called, and nobody else, for each output that can be read by `poll` from now on, and for a failure.

        It is called right where the output comes in, and must not raise.
        """

    def poll(self) -> TokenOutput | None:
        """The next output, where one has come; raises what iteration would."""

    def stop(self, sample_index: int) -> None:
        """Hint that no more tokens of this sample are wanted; it finishes with `abort` or whatever came first."""

    async def aclose(self) -> None:
        """Cancel every sample within one step. Idempotent."""


class Engine(Protocol):
    """Produces tokens for requests; one instance serves one model."""

    @property
    def info(self) -> EngineInfo:
        """Raises EngineDead or Overloaded (code `model_loading`) while there is none."""

    @property
    def is_ready(self) -> bool:
        """True while requests make progress."""

    @property
    def phase(self) -> str:
        """One of `starting`, a loading phase's name, `ready`, `stalled`, `dead`, `draining`."""

    @property
    def phase_elapsed_s(self) -> float:
        """Seconds since the phase began."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Accept the request, or raise; whatever can be refused is refused here, before any output.

        Raises:
            Overloaded: no credit, loading or draining.
            EngineDead: the worker is gone and not yet back.
        """

    def stats(self) -> EngineStats: ...

    async def close(self, drain_s: float) -> None:
        """Refuse new requests, wait up to `drain_s` seconds for the running ones, then cancel them."""
