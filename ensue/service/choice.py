"""One sample on its way from tokens to the text of a choice: decoded, cut at a stop string, released when certain.

What comes out depends on the tokens alone, not on how they were bundled on their way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

from ensue.outputs import FinishReason, TokenOutput
from ensue.service.logprobs import Entries, HeldLogprobs, Logprobs, PromptLogprobs, Scores, rows
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.detokenizer import DetokenizedToken, Detokenizer, token_name
from ensue.text.stop import StopMatcher
from ensue.text.tokenizer import Tokenizer

StopReason = str | int | None


@dataclass(frozen=True, slots=True)
class ChoiceDelta:
    """What is new in one choice; the texts and entries of all of them, joined, are the choice."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: str | None = None  # once, with the last
    stop_reason: StopReason = None
    token_ids: tuple[int, ...] | None = None  # where they are asked for
    prompt_token_ids: tuple[int, ...] | None = None  # with the first, where they are asked for
    prompt_logprobs: PromptLogprobs | None = None  # with the first, where they are asked for


class Choice:
    """Assembles one choice."""

    def __init__(
        self,
        index: int,
        prompt: EncodedPrompt,
        request: CompletionRequest,
        tokenizer: Tokenizer,
        stop_names: Mapping[int, str],
    ) -> None:
        """
        Args:
            stop_names: the stop string that each stop token stands for; other stop tokens are named by their id.
        """
        self.index = index
        self.num_tokens = 0  # generated, up to and including the one that ended the text
        self.finish_reason: str | None = None
        self._stop_reason: StopReason = None
        self._tokenizer = tokenizer
        self._stop_names = stop_names
        self._detokenizer = Detokenizer(tokenizer, context_ids=prompt.token_ids)
        self._matcher = StopMatcher(request.stop)
        self._num_decoded = self._num_shown = 0  # characters
        self._held = (
            None
            if request.logprobs is None
            else HeldLogprobs(Entries(tokenizer, request.logprobs, first_offset=prompt.num_chars))
        )
        self._echo = prompt.text if request.echo else None  # until the first delta takes it

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None

    def take(self, output: TokenOutput, prompt_logprobs: Logprobs | None = None) -> ChoiceDelta | None:
        """The next tokens; returns news if there are any. What comes after the end is dropped.

        Args:
            prompt_logprobs: entries of the echoed prompt, for the first delta.
        """
        if self.is_finished:
            return None
        text = self._read(output)
        if not text and not self.is_finished:
            return None
        return self._delta(text, prompt_logprobs)

    def _read(self, output: TokenOutput) -> str:
        ends_by_token = output.finish_reason is FinishReason.STOP
        visible = output.token_ids[:-1] if ends_by_token else output.token_ids
        scores = repeat(None) if output.logprobs is None else rows(output.logprobs)
        text = ""
        for token_id, row in zip(visible, scores, strict=False):
            text += self._take_token(token_id, row)
            if self.is_finished:  # the engine may have run ahead
                return text
        if output.finish_reason is not None:
            text += self._end(output)
        return text

    def _take_token(self, token_id: int, scores: Scores | None) -> str:
        self.num_tokens += 1
        if self._held is not None and scores is not None:
            self._held.take(scores)
        decoded = self._detokenizer.decode((token_id,))
        return self._show(decoded.text, decoded.tokens)

    def _show(self, text: str, tokens: tuple[DetokenizedToken, ...]) -> str:
        """Text that is certain to stay."""
        self._num_decoded += len(text)
        if self._held is not None:
            self._held.place(tokens)
        safe = self._matcher.feed(text)
        self._num_shown += len(safe)
        if self._matcher.matched is not None:
            self._finish("stop", self._matcher.matched.stop)
        return safe

    def _end(self, output: TokenOutput) -> str:
        """The engine ended the sample: nothing is held back any more."""
        last = self._detokenizer.flush()
        text = self._show(last.text, last.tokens)
        if self.is_finished:
            return text
        rest = self._matcher.flush()
        self._num_shown += len(rest)
        if output.finish_reason is FinishReason.STOP:
            self._take_hidden(output)
        self._finish(*self._engine_reason(output))
        return text + rest

    def _take_hidden(self, output: TokenOutput) -> None:
        """The token that ended the text: counted and scored, not shown."""
        self.num_tokens += 1
        if self._held is not None and output.logprobs is not None:
            token_id = output.token_ids[-1]
            name = token_name(self._tokenizer, token_id)
            self._held.take(list(rows(output.logprobs))[-1])
            self._held.place((DetokenizedToken(token_id, self._num_decoded, self._num_decoded, name),))

    def _engine_reason(self, output: TokenOutput) -> tuple[str, StopReason]:
        if output.finish_reason is not FinishReason.STOP:
            return "length", None
        stop_id = output.stop_token_id
        return "stop", stop_id if stop_id is None else self._stop_names.get(stop_id, stop_id)

    def _finish(self, reason: str, stop_reason: StopReason) -> None:
        self.finish_reason, self._stop_reason = reason, stop_reason
        if self._held is not None:  # characters of a split token may still be on their way
            self._held.place(self._detokenizer.flush().tokens)

    def _delta(self, text: str, prompt_logprobs: Logprobs | None) -> ChoiceDelta:
        logprobs = self._release()
        if self._echo is not None:
            text, self._echo = self._echo + text, None
            if logprobs is not None and prompt_logprobs is not None:
                logprobs = prompt_logprobs.joined(logprobs)
        return ChoiceDelta(self.index, text, logprobs, self.finish_reason, self._stop_reason)

    def _release(self) -> Logprobs | None:
        if self._held is None:
            return None
        return self._held.release_all(self._num_shown) if self.is_finished else self._held.release(self._num_shown)
