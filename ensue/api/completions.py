"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec

from ensue.api.bodies import CompletionBody
from ensue.api.generation import AnswerHead, AnswerWriter, GenerationEndpoint, ShownUsage
from ensue.api.params import Caller, completion_request
from ensue.api.protocol import ChoiceObject, CompletionObject, UsageObject, given
from ensue.api.sse import EventTemplate
from ensue.served_models import ServedModel
from ensue.service.choice import ChoiceDelta
from ensue.service.completion import FinishedChoice
from ensue.service.request import CompletionRequest


class CompletionWriter(AnswerWriter):
    """Whole answers and events have one shape."""

    def __init__(self, head: AnswerHead) -> None:
        self._head = head
        self._template = EventTemplate(self._object([], msgspec.UNSET), _text_choice)

    def whole(self, choices: Sequence[FinishedChoice], usage: UsageObject) -> msgspec.Struct:
        return self._object([_whole(choice) for choice in choices], usage)

    def events(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[bytes]:
        if delta.is_only_text and not isinstance(usage, UsageObject):
            return (self._template.text_event(delta.index, delta.text, usage),)
        return (self._template.event(_news(delta), usage),)

    def last_event(self, usage: UsageObject) -> bytes:
        return self._template.event(None, usage)

    def _object(self, choices: list[ChoiceObject], usage: ShownUsage) -> CompletionObject:
        head = self._head
        return CompletionObject(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.fingerprint,
            choices=choices,
            usage=usage,
        )


class CompletionsEndpoint(GenerationEndpoint[CompletionBody]):
    """Completes texts."""

    id_prefix: ClassVar[str] = "cmpl"
    body: ClassVar[type[CompletionBody]] = CompletionBody

    def _request(
        self, body: CompletionBody, model: ServedModel, caller: Caller, request_id: str, deadline: float
    ) -> CompletionRequest:
        return completion_request(body, model, caller, request_id=request_id, deadline=deadline)

    def _writer(self, body: CompletionBody, asked: CompletionRequest, head: AnswerHead) -> AnswerWriter:  # noqa: ARG002
        return CompletionWriter(head)


def _text_choice(index: int, text: str) -> ChoiceObject:
    return _news(ChoiceDelta(index, text))


def _whole(choice: FinishedChoice) -> ChoiceObject:
    return ChoiceObject(
        choice.index,
        choice.text,
        choice.logprobs,
        choice.finish_reason,
        choice.stop_reason,
        choice.prompt_logprobs,
        choice.token_ids,
        choice.prompt_token_ids,
    )


def _news(delta: ChoiceDelta) -> ChoiceObject:
    return ChoiceObject(
        delta.index,
        delta.text,
        delta.logprobs,
        delta.finish_reason,
        delta.stop_reason,
        given(delta.prompt_logprobs),
        given(delta.token_ids),
        given(delta.prompt_token_ids),
    )
