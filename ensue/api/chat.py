"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec
from msgspec import UNSET

from ensue.api.bodies import ChatBody
from ensue.api.generation import AnswerHead, AnswerWriter, GenerationEndpoint, ShownUsage
from ensue.api.params import Caller, chat_request
from ensue.api.protocol import (
    ChatChoiceObject,
    ChatChunkChoice,
    ChatChunkObject,
    ChatLogprobsObject,
    ChatObject,
    DeltaObject,
    MessageObject,
    UsageObject,
    given,
)
from ensue.served_models import ServedModel
from ensue.service.choice import ChoiceDelta
from ensue.service.completion import FinishedChoice
from ensue.service.logprobs import TokenLogprob
from ensue.service.request import CompletionRequest


class ChatWriter(AnswerWriter):
    """Whole answers have messages; in a stream each choice begins with its role."""

    def __init__(self, head: AnswerHead, echoed: str) -> None:
        """
        Args:
            echoed: the text that stands before each answer.
        """
        self._head = head
        self._echoed = echoed
        self._begun: set[int] = set()  # choices that have told their role

    def whole(self, choices: Sequence[FinishedChoice], usage: UsageObject) -> msgspec.Struct:
        head, first = self._head, choices[0]
        return ChatObject(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.fingerprint,
            choices=[self._choice(choice) for choice in choices],
            usage=usage,
            prompt_logprobs=given(first.prompt_logprobs),
            prompt_token_ids=given(first.prompt_token_ids),
        )

    def events(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[msgspec.Struct]:
        if delta.index not in self._begun:
            yield from self._opening(delta, usage)
        content = DeltaObject(content=delta.text) if delta.text else DeltaObject()
        yield self._chunk(
            ChatChunkChoice(
                delta.index,
                content,
                _logprobs(delta.tokens),
                delta.finish_reason,
                delta.stop_reason,
                given(delta.token_ids),
            ),
            usage,
        )

    def last_event(self, usage: UsageObject) -> msgspec.Struct:
        return self._chunk(None, usage)

    def _opening(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[ChatChunkObject]:
        """What comes before a choice's own text; the prompt's part rides on the answer's first event."""
        is_first = not self._begun
        self._begun.add(delta.index)
        role = ChatChunkChoice(delta.index, DeltaObject(role="assistant", content=""))
        yield self._chunk(role, usage, delta if is_first else None)
        if self._echoed:
            yield self._chunk(ChatChunkChoice(delta.index, DeltaObject(content=self._echoed)), usage)

    def _choice(self, choice: FinishedChoice) -> ChatChoiceObject:
        return ChatChoiceObject(
            choice.index,
            MessageObject(content=self._echoed + choice.text),
            _logprobs(choice.tokens),
            choice.finish_reason,
            choice.stop_reason,
            given(choice.token_ids),
        )

    def _chunk(
        self, choice: ChatChunkChoice | None, usage: ShownUsage, prompt: ChoiceDelta | None = None
    ) -> ChatChunkObject:
        head = self._head
        return ChatChunkObject(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.fingerprint,
            choices=[] if choice is None else [choice],
            usage=usage,
            prompt_logprobs=UNSET if prompt is None else given(prompt.prompt_logprobs),
            prompt_token_ids=UNSET if prompt is None else given(prompt.prompt_token_ids),
        )


class ChatEndpoint(GenerationEndpoint[ChatBody]):
    """Answers conversations."""

    id_prefix: ClassVar[str] = "chatcmpl"
    body: ClassVar[type[ChatBody]] = ChatBody

    def _request(
        self, body: ChatBody, model: ServedModel, caller: Caller, request_id: str, deadline: float
    ) -> CompletionRequest:
        return chat_request(body, model, caller, request_id=request_id, deadline=deadline)

    def _writer(self, body: ChatBody, head: AnswerHead) -> AnswerWriter:
        return ChatWriter(head, _echoed(body))


def _echoed(body: ChatBody) -> str:
    """The final message, where the answer goes on in its role."""
    final = (body.messages or ({},))[-1]
    return str(final.get("content") or "") if body.echo and final.get("role") == "assistant" else ""


def _logprobs(tokens: tuple[TokenLogprob, ...] | None) -> ChatLogprobsObject | None:
    return None if tokens is None else ChatLogprobsObject(tokens)
