"""A scripted engine behind the same contract: for tests, demos and `--engine fake`. No model, no worker."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ensue.engine.check import check
from ensue.engine.output_queue import OutputQueue
from ensue.errors import Overloaded, RequestError
from ensue.outputs import PROMPT, EngineInfo, EngineStats, FinishReason, Timings, TokenLogprobs, TokenOutput
from ensue.request import GenerationRequest

MAX_REQUESTS_KEPT = 1000  # for a test to look at; a server that runs for weeks keeps no more
GUIDED_FIELDS = (
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "response_format",
    "structured_outputs",
)

Script = Callable[[GenerationRequest, int], Sequence[int]]  # (request, sample) → tokens; repeated where too short


def echo_prompt(request: GenerationRequest, sample: int) -> Sequence[int]:
    """The prompt's own tokens again, each sample from one further on."""
    ids = request.prompt_token_ids
    return [*ids[sample % len(ids) :], *ids[: sample % len(ids)]]


class FakeEngine:
    """Answers by a script, with log-probabilities that are made up but keep every rule."""

    def __init__(
        self,
        script: Script = echo_prompt,
        *,
        logits_width: int = 32_000,
        max_model_len: int = 1024,
        end_token_ids: tuple[int, ...] = (),
        step_s: float = 0.0,
        error: RequestError | None = None,
        error_after: int = 0,
    ) -> None:
        """
        Args:
            step_s: until the first step and from step to step, each of which gives all running requests a token.
            error: raised by generate() where error_after is 0, else after so many tokens.
        """
        self._script = script
        self._steps = _Steps(step_s)
        self._error, self._error_after = error, error_after
        self._is_closed = False
        self._started_at = time.monotonic()
        self.running: set[FakeGeneration] = set()
        self.requests: list[GenerationRequest] = []  # the latest that were accepted
        self.info = EngineInfo(
            max_model_len=max_model_len,
            max_request_tokens=max_model_len,
            logits_width=logits_width,
            end_token_ids=end_token_ids,
            block_size=64,
            max_num_seqs=256,
            num_blocks=4096,
            fingerprint="fp_fake",
            row_independent=True,
            unsupported=GUIDED_FIELDS,
        )

    @property
    def is_ready(self) -> bool:
        return not self._is_closed

    @property
    def phase(self) -> str:
        return "draining" if self._is_closed else "ready"

    @property
    def phase_elapsed_s(self) -> float:
        return time.monotonic() - self._started_at

    def stats(self) -> EngineStats:
        return EngineStats(num_running=len(self.running), num_blocks=self.info.num_blocks)

    async def generate(self, request: GenerationRequest) -> FakeGeneration:
        """Accept the request or raise."""
        if self._is_closed:
            raise _draining()
        if self._error is not None and not self._error_after:
            raise self._error
        check(request, self.info)
        self.requests.append(request)
        del self.requests[:-MAX_REQUESTS_KEPT]
        generation = FakeGeneration(self._outputs(request), request.num_samples, self.running.discard)
        self.running.add(generation)
        self._steps.add(generation)
        return generation

    async def close(self, drain_s: float) -> None:
        self._is_closed = True
        deadline = time.monotonic() + drain_s
        while self.running and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for generation in list(self.running):
            generation.fail(_draining())

    def _outputs(self, request: GenerationRequest) -> Iterator[TokenOutput]:
        is_simple = request.num_samples == 1 and request.beam is None and request.num_prompt_logprobs is None
        return self._sample(request, 0) if is_simple else self._many_outputs(request)

    def _many_outputs(self, request: GenerationRequest) -> Iterator[TokenOutput]:
        if request.num_prompt_logprobs is not None and len(request.prompt_token_ids) > 1:
            yield _prompt_slice(request)
        samples = [self._sample(request, sample) for sample in range(request.num_samples)]
        if request.beam:
            yield from (_whole(rank, outputs) for rank, outputs in enumerate(samples))
            return
        for outputs in itertools.zip_longest(*samples):
            yield from (output for output in outputs if output is not None)

    def _sample(self, request: GenerationRequest, sample: int) -> Iterator[TokenOutput]:
        cached = 0 if sample == 0 else None
        if request.max_tokens == 0:
            yield TokenOutput(
                sample, finish_reason=FinishReason.LENGTH, num_cached_tokens=cached, timings=Timings(0.0, 0.0)
            )
            return
        tokens = itertools.cycle(self._script(request, sample))
        ends = {*request.end_token_ids, *request.stop_token_ids}
        is_plain = request.num_logprobs is None
        for number, token in enumerate(itertools.islice(tokens, request.max_tokens), start=1):
            if self._error is not None and number > self._error_after:
                raise self._error
            finish = _finish(request, token, number) if token in ends or number == request.max_tokens else None
            if is_plain and finish is None and number > 1:
                yield _plain_output(sample, token)
                continue
            yield TokenOutput(
                sample,
                (token,),
                None if request.num_logprobs is None else _columns([token], request.num_logprobs),
                finish_reason=finish,
                stop_token_id=token if finish is FinishReason.STOP and token not in request.end_token_ids else None,
                num_cached_tokens=cached if number == 1 else None,
                timings=Timings(0.0, 0.0) if finish or (sample == 0 and number == 1) else None,
            )
            if finish:
                return


class FakeGeneration(OutputQueue):
    """The outputs of one request as they come from an engine worker: whether or not they are read."""

    def __init__(
        self, outputs: Iterator[TokenOutput], num_samples: int, on_end: Callable[[FakeGeneration], None]
    ) -> None:
        super().__init__(num_samples, lambda: on_end(self))
        self._outputs = outputs
        self._num_samples = num_samples
        self._stopped: set[int] = set()
        self._ended: set[int] = set()  # of those, the ones that said so

    def step(self) -> bool:
        """Put a token of each sample; false when there are no more."""
        try:
            for _ in range(self._num_samples):
                output = self._next()
                if output is None:
                    return False
                self.put(output)
        except Exception as error:  # a script may have its faults, too
            self.fail(error)
            return False
        return True

    def stop(self, sample_index: int) -> None:
        self._stopped.add(sample_index)

    async def aclose(self) -> None:
        if not self.has_ended:
            self.fail(Overloaded("The request was cancelled."))

    def fail(self, error: Exception) -> None:
        self._outputs = iter(())
        super().fail(error)

    def _next(self) -> TokenOutput | None:
        for output in self._outputs:
            if not self._stopped:
                return output
            if output.sample_index not in self._ended:
                return self._shown(output)
        return None

    def _shown(self, output: TokenOutput) -> TokenOutput:
        """An ended sample says no more; one that was asked to stop says so once."""
        if output.sample_index in self._stopped:
            self._ended.add(output.sample_index)
            return TokenOutput(output.sample_index, finish_reason=FinishReason.ABORT, timings=Timings(0.0, 0.0))
        return output


class _Steps:
    """Steps all running requests together, as long as there are any."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._stepped: set[FakeGeneration] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, generation: FakeGeneration) -> None:
        self._stepped.add(generation)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._stepped:
            await asyncio.sleep(self._step_s)
            self._stepped.difference_update([generation for generation in self._stepped if not generation.step()])


def _draining() -> Overloaded:
    return Overloaded("The server is shutting down.", code="draining", retry_after_s=5)


@functools.lru_cache(4096)
def _plain_output(sample: int, token: int) -> TokenOutput:
    """One token of many, made once: the scripted engine should cost less than what it is there to measure."""
    return TokenOutput(sample, (token,))


def _finish(request: GenerationRequest, token: int, number: int) -> FinishReason | None:
    if number > request.min_tokens and (token in request.end_token_ids or token in request.stop_token_ids):
        return FinishReason.STOP
    return FinishReason.LENGTH if number == request.max_tokens else None


def _whole(rank: int, outputs: Iterator[TokenOutput]) -> TokenOutput:
    """A beam: all of a sample at once, with a score that falls with its rank."""
    return replace(functools.reduce(TokenOutput.merge, outputs), beam_score=-float(rank))


def _prompt_slice(request: GenerationRequest) -> TokenOutput:
    ids = request.prompt_token_ids[1:]
    return TokenOutput(PROMPT, ids, _columns(ids, request.num_prompt_logprobs or 0), prompt_start=1)


def _columns(ids: Sequence[int], k: int) -> TokenLogprobs:
    """A distribution whose likeliest ids are 0, 1, 2, …, each half as likely as the one before it."""
    top_ids = tuple(range(k))
    top = tuple(_logprob(rank) for rank in range(1, k + 1))
    ranks = tuple(i + 1 if i < 50 else 51 + _digest(i) for i in ids)
    return TokenLogprobs(tuple(map(_logprob, ranks)), ranks, (top_ids,) * len(ids), (top,) * len(ids))


def _logprob(rank: int) -> float:
    return -rank * math.log(2)


def _digest(token_id: int) -> int:
    return hashlib.blake2b(token_id.to_bytes(8, "little"), digest_size=1).digest()[0]
