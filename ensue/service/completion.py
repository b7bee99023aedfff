"""CompletionService: a request becomes generations, their tokens become the choices of an answer."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ensue.engine.base import Generation
from ensue.metrics import Metrics
from ensue.outputs import Usage
from ensue.request import CompiledGrammar
from ensue.served_models import ServedModel
from ensue.service.answer import Answer
from ensue.service.choice import ChoiceDelta, StopReason, joined
from ensue.service.guided import prove
from ensue.service.logprobs import Logprobs, PromptLogprobs, TokenLogprob
from ensue.service.meter import Meter
from ensue.service.request import CompletionRequest
from ensue.service.resolve import Resolved, resolve
from ensue.turns import FairThreads

NUM_ENCODERS = 2  # threads
SHORT_CHARS = 500
MAX_READ_AT_ONCE = 4  # outputs; those of many samples that a slow reader left would hold up the event loop
UNBOUNDED_TOKENS = 1024  # what a sample without max_tokens is taken for, before it starts

Take = Callable[[Sequence[ChoiceDelta]], bool]  # false: no more for now


@dataclass(frozen=True, slots=True)
class FinishedChoice:
    """One choice, complete."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: str
    stop_reason: StopReason
    token_ids: tuple[int, ...] | None = None  # these three where they are asked for
    prompt_token_ids: tuple[int, ...] | None = None
    prompt_logprobs: PromptLogprobs | None = None
    tokens: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True, slots=True)
class PreparedCompletion:
    """A request that can start: nothing in it is left to refuse but by the engine."""

    model: ServedModel
    request: CompletionRequest
    resolved: Resolved
    grammar: CompiledGrammar | None
    meter: Meter

    @property
    def prompt_tokens(self) -> int:
        """Each prompt counts once."""
        return sum(len(prompt.token_ids) for prompt in self.resolved.prompts)

    @property
    def max_completion_tokens(self) -> int:
        """What all samples may generate; where the context is the only bound, `UNBOUNDED_TOKENS` a sample at most."""
        request = self.request
        is_unbounded = request.max_tokens is None and request.default_max_tokens is None
        most = UNBOUNDED_TOKENS if is_unbounded else None
        counts = (generation.max_tokens for generation in self.resolved.generations)
        return request.num_samples * sum(count if most is None else min(count, most) for count in counts)


class CompletionService:
    """Starts completions on any served model."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._encoders = FairThreads(NUM_ENCODERS, "encode")

    async def prepare(self, model: ServedModel, request: CompletionRequest) -> PreparedCompletion:
        """Check, encode and prove everything; nothing is asked of the engine yet.

        Raises:
            RequestError: invalid, too long, or no engine to take it.
        """
        info, meter = model.engine.info, Meter(self._metrics, model.name)
        grammar = None if request.guided is None else await prove(request.guided, model.prover, request.fair_share_key)
        resolving = functools.partial(resolve, request, model.tokenizer, info, grammar)
        if _is_short(request):
            resolved = resolving()
        else:
            resolved = await self._encoders.run(request.fair_share_key, resolving)
        return PreparedCompletion(model, request, resolved, grammar, meter)

    async def start(self, prepared: PreparedCompletion) -> Completion:
        """Returns once the engine has accepted every prompt.

        Raises:
            RequestError: the engine does not take it.
        """
        model, request, resolved = prepared.model, prepared.request, prepared.resolved
        generations: list[Generation] = []
        try:
            for generation_request in resolved.generations:
                generations.append(await model.engine.generate(generation_request))
        except BaseException:
            await _close(generations)
            raise
        answers = [
            Answer(i, prompt, request, model.tokenizer, resolved.stop_names, prepared.grammar)
            for i, prompt in enumerate(resolved.prompts)
        ]
        return Completion(answers, generations, prepared.meter, model.engine.info.fingerprint)

    def close(self) -> None:
        self._encoders.close()


class _Feeding(NamedTuple):
    """Somebody takes news, until the end."""

    take: Take
    end: asyncio.Future[None]


class Completion:
    """A running completion: let it feed you its news, or collect them; close it in any case."""

    def __init__(
        self, answers: Sequence[Answer], generations: Sequence[Generation], meter: Meter, fingerprint: str
    ) -> None:
        self.fingerprint = fingerprint
        self._meter = meter
        self._answers = answers
        self._generations = generations
        self._num_running = len(answers)
        self._finishes: dict[int, str] = {}  # by choice
        self._arrived: deque[int] = deque()  # the generation of each output that has yet to be read
        self._feeding: _Feeding | None = None  # while somebody takes news
        self._is_reading = False  # what arrives meanwhile is read in its turn
        for number, generation in enumerate(generations):
            generation.listen(functools.partial(self._on_arrival, number))

    @property
    def usage(self) -> Usage:
        """What was used so far; each prompt counts once."""
        return sum((answer.usage for answer in self._answers), Usage())

    @property
    def finish(self) -> str | None:
        """Why the choices ended: reasons in their order, each once, joined by commas; None while one still runs."""
        if not all(answer.is_finished for answer in self._answers):
            return None
        return ",".join(dict.fromkeys(self._finishes[index] for index in sorted(self._finishes)))

    @property
    def first_token_at(self) -> float | None:
        """When the first news came, as time.perf_counter()."""
        return self._meter.first_token_at

    @property
    def queue_s(self) -> float | None:
        """How long samples waited for their first step, at most; None before any had it."""
        return max((answer.queue_s for answer in self._answers if answer.queue_s is not None), default=None)

    @property
    def is_finished(self) -> bool:
        """Whether every choice has ended, and its news were taken."""
        return not self._num_running

    async def feed(self, take: Take) -> None:
        """Give news to `take` as they come, and where they come: no task is woken for a token.

        Returns when every choice has ended, or earlier where `take` has returned false; then call it again.

        Raises:
            ServerError: the engine gave up.
        """
        self._feeding = feeding = _Feeding(take, asyncio.get_running_loop().create_future())
        self._is_reading = False
        try:
            self._read_arrived(feeding)
            await feeding.end
        finally:
            self._feeding = None

    async def collect(self) -> list[FinishedChoice]:
        """All choices, in the order of their indices."""
        deltas: dict[int, list[ChoiceDelta]] = {}

        def take(news: Sequence[ChoiceDelta]) -> bool:
            for delta in news:
                deltas.setdefault(delta.index, []).append(delta)
            return True

        await self.feed(take)
        return [_finished(deltas[index]) for index in sorted(deltas)]

    async def aclose(self) -> None:
        """Cancel what still runs, within one step. Idempotent."""
        await _close(self._generations)
        self._meter.end(self.usage)

    def _on_arrival(self, number: int) -> None:
        self._arrived.append(number)
        if self._feeding is not None and not self._is_reading:
            self._read_arrived(self._feeding)

    def _read_arrived(self, feeding: _Feeding) -> None:
        """Read what has come; of much, a part now and the rest in other turns of the event loop."""
        if feeding.end.done():
            return
        self._is_reading = True
        try:
            is_taken = self._read_some(feeding.take)
        except Exception as error:  # raised where the news are awaited, not where they come from
            feeding.end.set_exception(error)
            return
        if not is_taken or not self._num_running:
            feeding.end.set_result(None)
        elif self._arrived:
            asyncio.get_running_loop().call_soon(self._read_arrived, feeding)
            return
        self._is_reading = False

    def _read_some(self, take: Take) -> bool:
        for _ in range(MAX_READ_AT_ONCE):
            if not self._arrived or not self._num_running:
                break
            news = self._read(self._arrived.popleft())
            if news and not take(news):
                return False
        return True

    def _read(self, number: int) -> Sequence[ChoiceDelta]:
        output = self._generations[number].poll()
        if output is None:
            return ()
        answer = self._answers[number]
        news = answer.take(output)
        if news.ends_sample:
            self._generations[number].stop(output.sample_index)
        if news.deltas:
            self._num_running -= answer.is_finished  # nothing comes after an answer's end
            self._note(news.deltas)
        return news.deltas

    def _note(self, news: Sequence[ChoiceDelta]) -> None:
        self._meter.note(news)
        for delta in news:
            if delta.finish_reason is not None:
                self._finishes[delta.index] = delta.finish_reason


def _is_short(request: CompletionRequest) -> bool:
    """Whether encoding takes less time than handing it to a thread, and so may hold up the event loop."""
    prompts, words = request.prompts, (request.suffix or "", *request.bad_words)
    if len(prompts) > 1 or not isinstance(prompts[0], str):
        return False
    return len(prompts[0]) + sum(map(len, words)) <= SHORT_CHARS


def _finished(deltas: Sequence[ChoiceDelta]) -> FinishedChoice:
    whole = joined(deltas)
    assert whole.finish_reason is not None, "a choice ends with its reason"
    return FinishedChoice(
        whole.index,
        whole.text,
        whole.logprobs,
        whole.finish_reason,
        whole.stop_reason,
        whole.token_ids,
        whole.prompt_token_ids,
        whole.prompt_logprobs,
        whole.tokens,
    )


async def _close(generations: Sequence[Generation]) -> None:
    for generation in generations:
        await generation.aclose()
