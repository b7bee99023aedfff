"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

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
        return self._object([_choice(choice, _or_null) for choice in choices], usage)

    def events(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[bytes]:
        if delta.is_only_text and not isinstance(usage, UsageObject):
            return (self._template.text_event(delta.index, delta.text, usage),)
        return (self._template.event(_choice(delta, given), usage),)

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
    return _choice(ChoiceDelta(index, text), given)


def _choice(told: FinishedChoice | ChoiceDelta, shown: Callable[[Any], Any]) -> ChoiceObject:
    """
    Args:
        shown: how what was not asked for is shown.
    """
    return ChoiceObject(
        told.index,
        told.text,
        told.logprobs,
        told.finish_reason,
        told.stop_reason,
        shown(told.prompt_logprobs),
        shown(told.token_ids),
        shown(told.prompt_token_ids),
    )


def _or_null(value: Any) -> Any:
    return value
