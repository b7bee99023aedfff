"""POST /v1/completions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.body import read_json
from ensue.api.context import context_of
from ensue.api.disconnect import unless_disconnected
from ensue.api.params import Caller, StreamOptions, read_body, stream_options, to_request
from ensue.api.protocol import ChoiceObject, CompletionObject, PromptTokensDetails, UsageObject
from ensue.api.sse import EventStream, event
from ensue.config import Config
from ensue.errors import RequestTimeout
from ensue.outputs import Usage
from ensue.served_models import ServedModels
from ensue.service.choice import ChoiceDelta
from ensue.service.completion import Completion, CompletionService, FinishedChoice
from ensue.store.keys import ApiKey


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """Makes the objects of one answer; all of them share an id."""

    id: str
    created: int
    model: str  # as asked for
    fingerprint: str

    def whole(self, choices: list[FinishedChoice], usage: Usage) -> bytes:
        return msgspec.json.encode(self._object([_choice(choice) for choice in choices], _usage(usage)))

    def event(self, choices: list[ChoiceDelta], usage: UsageObject | msgspec.UnsetType | None) -> bytes:
        return event(self._object([_choice(choice) for choice in choices], usage))

    def _object(self, choices: list[ChoiceObject], usage: UsageObject | msgspec.UnsetType | None) -> CompletionObject:
        return CompletionObject(
            id=self.id,
            created=self.created,
            model=self.model,
            system_fingerprint=self.fingerprint,
            choices=choices,
            usage=usage,
        )


class CompletionsEndpoint:
    """From a body to an answer."""

    def __init__(self, models: ServedModels, service: CompletionService, config: Config) -> None:
        self._models = models
        self._service = service
        self._limits = config.limits
        self._unknown = config.server.unknown_parameters

    async def create(self, request: Request) -> Response:
        """Complete a text."""
        body, warnings = read_body(await read_json(request, self._limits), self._unknown, self._limits)
        model = self._models.resolve(body.model)
        context = context_of(request.scope)
        context.model, request_id = model.name, context.request_id
        deadline = time.time() + self._limits.request_timeout_s
        asked = to_request(body, model, _caller(context.key), request_id=request_id, deadline=deadline)
        completion = await unless_disconnected(request.receive, self._service.start(model, asked))
        writer = AnswerWriter(f"cmpl-{request_id}", int(time.time()), body.model or model.name, completion.fingerprint)
        headers = {"warning": ", ".join(f'299 - "{warning}"' for warning in warnings)} if warnings else {}
        if body.stream:
            events = _events(completion, writer, stream_options(body))
            return EventStream(events, completion.aclose, timeout_s=self._limits.request_timeout_s, headers=headers)
        return await self._whole(request, completion, writer, headers)

    async def _whole(
        self, request: Request, completion: Completion, writer: AnswerWriter, headers: Mapping[str, str]
    ) -> Response:
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                choices = await unless_disconnected(request.receive, completion.collect())
        except TimeoutError:
            raise RequestTimeout("The request took longer than this server allows.") from None
        finally:
            await completion.aclose()
        content = writer.whole(choices, completion.usage)
        return Response(content, headers=dict(headers), media_type="application/json")


async def _events(completion: Completion, writer: AnswerWriter, options: StreamOptions) -> AsyncIterator[bytes]:
    """One event for each piece of news, and one for the usage where it is wanted."""
    without_usage = None if options.include_usage else msgspec.UNSET
    async for delta in completion:
        usage = _usage(completion.usage) if options.continuous_usage_stats else without_usage
        yield writer.event([delta], usage)
    if options.include_usage:
        yield writer.event([], _usage(completion.usage))


def _caller(key: ApiKey | None) -> Caller:
    return Caller() if key is None else Caller(key.id, may_set_priority="admin" in key.scopes)


def _choice(choice: ChoiceDelta | FinishedChoice) -> ChoiceObject:
    return ChoiceObject(
        choice.index,
        choice.text,
        choice.logprobs,
        choice.finish_reason,
        choice.stop_reason,
        msgspec.UNSET if choice.prompt_logprobs is None else choice.prompt_logprobs,
        msgspec.UNSET if choice.token_ids is None else choice.token_ids,
        msgspec.UNSET if choice.prompt_token_ids is None else choice.prompt_token_ids,
    )


def _usage(usage: Usage) -> UsageObject:
    return UsageObject(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        PromptTokensDetails(usage.cached_tokens),
    )
