"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

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
from ensue.api.sse import EventTemplate, event
from ensue.api.tool_calls import CallReader
from ensue.guided.tool_grammar import ToolUse
from ensue.served_models import ServedModel
from ensue.service.choice import ChoiceDelta, joined
from ensue.service.completion import FinishedChoice
from ensue.service.logprobs import TokenLogprob
from ensue.service.message_text import text_of
from ensue.service.request import CompletionRequest


class ChatWriter(AnswerWriter):
    """Whole answers have messages; in a stream each choice begins with its role."""

    def __init__(self, head: AnswerHead, echoed: str, tools: ToolUse | None) -> None:
        """
        Args:
            echoed: the text that stands before each answer.
            tools: what answers may call; None: their texts are just texts.
        """
        self._head = head
        self._template = EventTemplate(self._chunk([], UNSET), _text_choice)
        self._echoed = echoed
        self._tools = tools
        self._readers: dict[int, CallReader] = {}  # of choices
        self._untold: dict[int, list[ChoiceDelta]] = {}  # news of choices that showed nothing
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
            prompt_logprobs=first.prompt_logprobs,
            prompt_token_ids=first.prompt_token_ids,
        )

    def events(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[bytes]:
        if delta.index not in self._begun:
            yield from self._opening(delta, usage)
        if self._tools is None and delta.text and delta.is_only_text and not isinstance(usage, UsageObject):
            yield self._template.text_event(delta.index, delta.text, usage)
        elif self._tools is None:
            yield self._news(DeltaObject(content=delta.text) if delta.text else DeltaObject(), delta, usage)
        else:
            yield from self._news_with_calls(delta, usage, self._tools)

    def last_event(self, usage: UsageObject) -> bytes:
        return self._template.event(None, usage)

    def _news_with_calls(self, delta: ChoiceDelta, usage: ShownUsage, tools: ToolUse) -> Iterable[bytes]:
        """A text may bring several pieces of news, the last of which has its tokens, or none; then its tokens wait."""
        reader = self._readers.setdefault(delta.index, CallReader(tools))
        is_last = delta.finish_reason is not None
        messages = reader.deltas(delta.text, is_last=is_last)
        untold = [*self._untold.pop(delta.index, ()), delta]
        if not messages and not is_last:
            self._untold[delta.index] = untold
            return
        *first, last = messages or [DeltaObject()]
        for message in first:
            yield self._template.event(ChatChunkChoice(delta.index, message), usage)
        whole = joined(untold)
        reason = None if whole.finish_reason is None else reader.finish_reason(whole.finish_reason)
        yield self._news(last, replace(whole, finish_reason=reason), usage)

    def _news(self, message: DeltaObject, delta: ChoiceDelta, usage: ShownUsage) -> bytes:
        choice = ChatChunkChoice(
            delta.index,
            message,
            _logprobs(delta.tokens),
            delta.finish_reason,
            delta.stop_reason,
            given(delta.token_ids),
        )
        return self._template.event(choice, usage)

    def _opening(self, delta: ChoiceDelta, usage: ShownUsage) -> Iterable[bytes]:
        """What comes before a choice's own text; the prompt's part rides on the answer's first event."""
        is_first = not self._begun
        self._begun.add(delta.index)
        role = ChatChunkChoice(delta.index, DeltaObject(role="assistant", content=""))
        if is_first:
            yield event(self._chunk([role], _of_prompt(usage), delta))
        else:
            yield self._template.event(role, usage)
        if self._echoed:
            yield self._template.event(ChatChunkChoice(delta.index, DeltaObject(content=self._echoed)), usage)

    def _choice(self, choice: FinishedChoice) -> ChatChoiceObject:
        message, reason = MessageObject(content=self._echoed + choice.text), choice.finish_reason
        if self._tools is not None:
            reader = CallReader(self._tools)
            message = reader.message(choice.text, self._echoed)
            reason = reader.finish_reason(reason)
        return ChatChoiceObject(
            choice.index,
            message,
            _logprobs(choice.tokens),
            reason,
            choice.stop_reason,
            choice.token_ids,
        )

    def _chunk(
        self, choices: list[ChatChunkChoice], usage: ShownUsage, prompt: ChoiceDelta | None = None
    ) -> ChatChunkObject:
        head = self._head
        return ChatChunkObject(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.fingerprint,
            choices=choices,
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

    def _writer(self, body: ChatBody, asked: CompletionRequest, head: AnswerHead) -> AnswerWriter:
        return ChatWriter(head, _echoed(body), asked.tools)


def _text_choice(index: int, text: str) -> ChatChunkChoice:
    return ChatChunkChoice(index, DeltaObject(content=text))


def _echoed(body: ChatBody) -> str:
    """The final message, where the answer goes on in its role."""
    final = (body.messages or ({},))[-1]
    return text_of(final.get("content")) if body.echo and final.get("role") == "assistant" else ""


def _of_prompt(usage: ShownUsage) -> ShownUsage:
    """What was used before the first token, where usage is told."""
    if not isinstance(usage, UsageObject):
        return usage
    return replace(usage, completion_tokens=0, total_tokens=usage.prompt_tokens)


def _logprobs(tokens: tuple[TokenLogprob, ...] | None) -> ChatLogprobsObject | None:
    return None if tokens is None else ChatLogprobsObject(tokens)
