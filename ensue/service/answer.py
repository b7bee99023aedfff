"""The choices that grow from one prompt, fed by one generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ensue.errors import GenerationFailed, Overloaded, RequestError, RequestTimeout
from ensue.outputs import PROMPT, FinishReason, TokenOutput, Usage
from ensue.request import CompiledGrammar
from ensue.service.choice import Choice, ChoiceDelta, joined
from ensue.service.opening import Opening
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


class News(msgspec.Struct, frozen=True):
    """What an output of the engine brought."""

    deltas: tuple[ChoiceDelta, ...] = ()
    ends_sample: bool = False  # by its text, so that the engine has to be told


class Answer:
    """All samples of one prompt, and the choices that are made of them.

    Each sample is a choice, told as it comes; but the best of more samples, and beams, are told whole, all at the end.
    """

    def __init__(
        self,
        number: int,
        prompt: EncodedPrompt,
        request: CompletionRequest,
        tokenizer: Tokenizer,
        stop_names: Mapping[int, str],
        grammar: CompiledGrammar | None = None,
    ) -> None:
        self._first = number * request.n
        self._samples = [
            Choice(self._first + i, prompt, request, tokenizer, stop_names, grammar) for i in range(request.num_samples)
        ]
        self._num_running = len(self._samples)
        self._begun: set[int] = set()  # samples that were told something of
        self._kept: list[list[ChoiceDelta]] = [[] for _ in self._samples]  # news that are told at the end
        self._prompt = prompt
        self._request = request
        self._opening = Opening(prompt, request, tokenizer)
        self._num_cached: int | None = None
        self.queue_s: float | None = None  # the longest wait of a sample

    @property
    def is_finished(self) -> bool:
        return not self._num_running

    @property
    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=len(self._prompt.token_ids),
            completion_tokens=sum(sample.num_tokens for sample in self._samples),
            cached_tokens=self._num_cached or 0,
        )

    def take(self, output: TokenOutput) -> News:
        """The next output of the generation.

        Raises:
            ServerError: the engine gave a running sample up.
        """
        if self._num_cached is None:
            self._num_cached = output.num_cached_tokens
        if output.timings is not None:
            self.queue_s = max(self.queue_s or 0.0, output.timings.queue_s)
        if output.sample_index == PROMPT:
            self._opening.take(output)
            return News()
        sample = self._samples[output.sample_index]
        if sample.is_finished:
            return News()
        reason = output.finish_reason
        if reason is not None and reason in (FinishReason.ERROR, FinishReason.ABORT):
            raise _failure(output)
        delta = sample.take(output)
        has_ended = sample.is_finished
        self._num_running -= has_ended
        return News(self._told(output.sample_index, delta), has_ended and reason is None)

    def _told(self, sample: int, delta: ChoiceDelta | None) -> tuple[ChoiceDelta, ...]:
        if delta is None:
            return ()
        if sample in self._begun:
            return (delta,)
        if self._request.is_told_whole:
            self._kept[sample].append(delta)
            return self._best() if self.is_finished else ()
        self._begun.add(sample)
        return (self._opening.before(delta),)

    def _best(self) -> tuple[ChoiceDelta, ...]:
        """The n choices, best first; beams come in their order from the engine."""
        order: Sequence[int] = range(len(self._samples))
        if self._request.is_ranked:
            order = sorted(order, key=lambda sample: -self._samples[sample].mean_logprob)  # stable
        wholes = (joined(self._kept[sample]) for sample in order[: self._request.n])
        return tuple(self._opening.before(replace(whole, index=self._first + i)) for i, whole in enumerate(wholes))


def _failure(output: TokenOutput) -> RequestError:
    if output.finish_reason is FinishReason.ABORT:
        return Overloaded("The server is shutting down.", code="draining", retry_after_s=5)
    if output.error_code == "request_timeout":
        return RequestTimeout("The request took longer than this server allows.")
    if output.error_code == "grammar_failed":
        return GenerationFailed("The constraint became too complex for the text that was generated.")
    return GenerationFailed("The model failed on this request.")
