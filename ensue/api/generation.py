"""From a body to an answer, streamed or not: what completions and chats have in common."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.accounting import Accountant
from ensue.api.bodies import GenerationBody
from ensue.api.body import BodyReader
from ensue.api.chunks import Write
from ensue.api.context import context_of
from ensue.api.disconnect import unless_disconnected
from ensue.api.keep_alive import SendEvent
from ensue.api.params import Caller, StreamOptions, read_body, stream_options
from ensue.api.protocol import PromptTokensDetails, UsageObject
from ensue.api.sse import EventStream
from ensue.api.work import Work
from ensue.config import Config
from ensue.errors import RequestTimeout
from ensue.outputs import Usage
from ensue.served_models import ServedModel, ServedModels
from ensue.service.choice import ChoiceDelta
from ensue.service.completion import Completion, CompletionService, FinishedChoice
from ensue.service.request import CompletionRequest
from ensue.store.api_key import ApiKey

B = TypeVar("B", bound=GenerationBody)
ShownUsage = UsageObject | msgspec.UnsetType | None


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What all objects of one answer share."""

    id: str
    created: int
    model: str  # as asked for
    fingerprint: str


class AnswerWriter(ABC):
    """Makes the objects of one answer."""

    @abstractmethod
    def whole(self, choices: Sequence[FinishedChoice], usage: UsageObject) -> msgspec.Struct:
        """An answer that is not streamed."""

    @abstractmethod
    def events(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[bytes]:
        """The events that tell one piece of news."""

    @abstractmethod
    def last_event(self, usage: UsageObject) -> bytes:
        """The event without choices that tells the usage."""


class GenerationEndpoint(ABC, Generic[B]):
    """One route; its subclass says what a body asks for and how the answer looks."""

    id_prefix: ClassVar[str]
    body: ClassVar[type[Any]]  # B

    def __init__(
        self, models: ServedModels, service: CompletionService, config: Config, accountants: Sequence[Accountant] = ()
    ) -> None:
        self._models = models
        self._service = service
        self._accountants = accountants
        self._limits = config.limits
        self._unknown = config.server.unknown_parameters
        self._bodies = BodyReader(config.limits)
        self._keepalive_s = config.server.sse_keepalive_s

    @abstractmethod
    def _request(
        self, body: B, model: ServedModel, caller: Caller, request_id: str, deadline: float
    ) -> CompletionRequest:
        """What the service is asked for; raises InvalidRequest."""

    @abstractmethod
    def _writer(self, body: B, asked: CompletionRequest, head: AnswerHead) -> AnswerWriter: ...

    async def create(self, request: Request) -> Response:
        """Generate text."""
        body, warnings = await self._bodies.read(request, self._parsed)
        context = context_of(request.scope)
        model = self._models.resolve(body.model, context.rights)
        context.model, request_id = model.name, context.request_id
        deadline = time.time() + self._limits.request_timeout_s
        asked = self._request(body, model, _caller(context.key), request_id, deadline)
        work = Work(context, self._accountants, request.scope["route"].path, body.user)
        try:
            response = await unless_disconnected(request.receive, self._in_time(work, model, asked, body))
        except BaseException as error:
            await work.close(error)
            raise
        if not body.stream:
            await work.close()
        response.headers.update(warning_headers(warnings))
        return response

    def _parsed(self, value: Any) -> tuple[B, list[str]]:
        return read_body(self.body, value, self._unknown, self._limits)

    async def _in_time(self, work: Work, model: ServedModel, asked: CompletionRequest, body: B) -> Response:
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                return await self._respond(work, model, asked, body)
        except TimeoutError:
            raise RequestTimeout("The request took longer than this server allows.") from None

    async def _respond(self, work: Work, model: ServedModel, asked: CompletionRequest, body: B) -> Response:
        """The whole answer, or one that will stream it and close the work."""
        completion = await work.start(self._service, await self._service.prepare(model, asked))
        head = AnswerHead(
            f"{self.id_prefix}-{asked.request_id}", int(time.time()), body.model or model.name, completion.fingerprint
        )
        writer = self._writer(body, asked, head)
        if body.stream:
            events = Events(completion, writer, stream_options(body))
            timeout_s = self._limits.request_timeout_s
            return EventStream(events.send, work.close, timeout_s=timeout_s, keepalive_s=self._keepalive_s)
        content = msgspec.json.encode(writer.whole(await completion.collect(), _usage(completion.usage)))
        return Response(content, media_type="application/json")


def warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    return {"warning": ", ".join(f'299 - "{warning}"' for warning in warnings)} if warnings else {}


class Events:
    """The events of each piece of news, and one for the usage where it is wanted."""

    def __init__(self, completion: Completion, writer: AnswerWriter, options: StreamOptions) -> None:
        self._completion = completion
        self._writer = writer
        self._options = options
        self._unsent: deque[bytes] = deque()  # what could not be written at once
        self._write: Write

    async def send(self, write: Write, send: SendEvent) -> None:
        """Write them as they come; those that cannot be written at once are sent, which waits."""
        self._write = write
        while not self._completion.is_finished:
            await self._completion.feed(self._take)
            while self._unsent:
                await send(self._unsent.popleft())
        if self._options.include_usage:
            await send(self._writer.last_event(_usage(self._completion.usage)))

    def _take(self, news: Sequence[ChoiceDelta]) -> bool:
        usage = self._shown_usage()
        for delta in news:
            for event in self._writer.events(delta, usage):
                if self._unsent or not self._write(event):
                    self._unsent.append(event)
        return not self._unsent

    def _shown_usage(self) -> ShownUsage:
        if self._options.continuous_usage_stats:
            return _usage(self._completion.usage)
        return None if self._options.include_usage else msgspec.UNSET


def _caller(key: ApiKey | None) -> Caller:
    return Caller() if key is None else Caller(key.id, key.rights)


def _usage(usage: Usage) -> UsageObject:
    return UsageObject(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        PromptTokensDetails(usage.cached_tokens),
    )
