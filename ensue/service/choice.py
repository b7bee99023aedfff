"""One sample on its way from tokens to the text of a choice: decoded, cut at a stop string, released when certain.

What comes out depends on the tokens alone, not on how they were bundled on their way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

import msgspec
from msgspec.structs import replace

from ensue.outputs import FinishReason, TokenOutput
from ensue.request import CompiledGrammar
from ensue.service.guided import TextCheck
from ensue.service.held import HeldTokens, Released
from ensue.service.logprobs import Entries, Logprobs, PromptLogprobs, Scores, TokenEntries, TokenLogprob, rows
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.detokenizer import Decoded, DetokenizedToken, Detokenizer
from ensue.text.stop import StopMatcher
from ensue.text.tokenizer import Tokenizer

StopReason = str | int | None

NO_TOKEN_LEFT = "no_token_left"  # noqa: S105 - a stop reason: bans and masks left nothing to choose


class ChoiceDelta(msgspec.Struct, frozen=True):  # one a token: a dataclass takes thirty times as long to make
    """What is new in one choice; the texts and entries of all of them, joined, are the choice."""

    index: int
    text: str
    logprobs: Logprobs | None = None
    finish_reason: str | None = None  # once, with the last
    stop_reason: StopReason = None
    token_ids: tuple[int, ...] | None = None  # where they are asked for
    prompt_token_ids: tuple[int, ...] | None = None  # with the first, where they are asked for
    prompt_logprobs: PromptLogprobs | None = None  # with the first, where they are asked for
    tokens: tuple[TokenLogprob, ...] | None = None  # instead of `logprobs`, where a list of tokens is asked for

    @property
    def is_only_text(self) -> bool:
        """Whether there is no other news than the text."""
        return self == ChoiceDelta(self.index, self.text)


def joined(deltas: Sequence[ChoiceDelta]) -> ChoiceDelta:
    """All news of one choice as one."""
    logprobs = Logprobs() if any(delta.logprobs is not None for delta in deltas) else None
    for delta in deltas:
        if logprobs is not None and delta.logprobs is not None:
            logprobs.extend(delta.logprobs)
    first, last = deltas[0], deltas[-1]
    has_ids, has_tokens = last.token_ids is not None, last.tokens is not None
    return replace(
        last,
        text="".join(delta.text for delta in deltas),
        logprobs=logprobs,
        token_ids=tuple(id_ for delta in deltas for id_ in delta.token_ids or ()) if has_ids else None,
        prompt_token_ids=first.prompt_token_ids,
        prompt_logprobs=first.prompt_logprobs,
        tokens=tuple(token for delta in deltas for token in delta.tokens or ()) if has_tokens else None,
    )


class Choice:
    """Assembles one choice, without what an echo puts before it."""

    def __init__(
        self,
        index: int,
        prompt: EncodedPrompt,
        request: CompletionRequest,
        tokenizer: Tokenizer,
        stop_names: Mapping[int, str],
        grammar: CompiledGrammar | None = None,
    ) -> None:
        """
        Args:
            grammar: what the text must satisfy; only where it does may a stop string or a stop token end it.
            stop_names: the stop string that each stop token stands for; other stop tokens are named by their id.
        """
        self.index = index
        self.num_tokens = 0  # generated, up to and including the one that ended the text
        self.finish_reason: str | None = None
        self._stop_reason: StopReason = None
        self._sum_logprobs = 0.0
        self._tokenizer = tokenizer
        self._stop_names = stop_names
        self._min_tokens = request.min_tokens
        self._keeps_stop = request.include_stop_str_in_output and grammar is None
        self._check = None if grammar is None else TextCheck(grammar)
        self._held = _held_tokens(request, tokenizer, prompt.num_chars)
        self._is_plain = self._held is None and self._check is None and not request.stop
        self._detokenizer = Detokenizer(
            tokenizer,
            context_ids=prompt.token_ids,
            skip_special_tokens=request.skip_special_tokens,
            spaces_between_special_tokens=request.spaces_between_special_tokens,
            begins_text=None if grammar is None else False,  # a constraint speaks of every space
            places_tokens=self._held is not None,
        )
        self._matcher = StopMatcher(
            request.stop,
            keeps_stop=self._keeps_stop,
            may_end_at=None if self._check is None else self._check.may_end_at,
        )
        markers = () if request.tools is None else request.tools.format.markers
        self._shown_ids = frozenset(marker.token_id for marker in markers)  # special tokens that calls are read by
        self._num_decoded = self._num_shown = 0  # characters

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def mean_logprob(self) -> float:
        """Of the counted tokens, the one that ended the text among them; known where the engine tells numbers."""
        return self._sum_logprobs / max(1, self.num_tokens)

    def take(self, output: TokenOutput) -> ChoiceDelta | None:
        """The next tokens; returns news if there are any. What comes after the end is dropped."""
        if self.is_finished:
            return None
        text = self._read(output)
        if not text and not self.is_finished:
            return None
        if self._held is None:
            return ChoiceDelta(self.index, text, None, self.finish_reason, self._stop_reason)
        released = self._release(self._held)
        return ChoiceDelta(
            self.index,
            text,
            released.logprobs,
            self.finish_reason,
            self._stop_reason,
            released.token_ids,
            tokens=released.tokens,
        )

    # ---- tokens to text that is certain to stay

    def _read(self, output: TokenOutput) -> str:
        reason = output.finish_reason
        ends_by_token = reason is not None and reason is FinishReason.STOP and not output.is_complete
        visible = output.token_ids[:-1] if ends_by_token else output.token_ids
        text = self._read_at_once(visible, output) if self._is_plain else self._read_singly(visible, output)
        if reason is None or self.is_finished:
            return text
        return text + (self._end_by_token(output) if ends_by_token else self._end_by_itself(output))

    def _read_at_once(self, token_ids: Sequence[int], output: TokenOutput) -> str:
        """Where no text can end the choice, and nothing is told of single tokens."""
        self.num_tokens += len(token_ids)
        if output.logprobs is not None:
            for logprob in output.logprobs.chosen[: len(token_ids)]:
                self._sum_logprobs += logprob
        return self._detokenizer.read(token_ids)

    def _read_singly(self, token_ids: Sequence[int], output: TokenOutput) -> str:
        pieces = []
        scores = repeat(None) if output.logprobs is None else rows(output.logprobs)
        for token_id, row in zip(token_ids, scores, strict=False):
            self._count(row)
            pieces.append(self._show(self._detokenizer.decode((token_id,), shows_special=token_id in self._shown_ids)))
            if self.is_finished:  # the engine may have run ahead
                break
        return "".join(pieces)

    def _count(self, scores: Scores | None) -> None:
        self.num_tokens += 1
        if scores is not None:
            self._sum_logprobs += scores.logprob
        if self._held is not None:
            self._held.take(scores)

    def _show(self, decoded: Decoded) -> str:
        self._place(decoded)
        if self._check is not None:
            self._check.add(decoded.text)
        safe = self._matcher.feed(decoded.text, may_match=self.num_tokens > self._min_tokens)
        self._num_shown += len(safe)
        if self._matcher.matched is not None:
            self._finish("stop", self._matcher.matched.stop)
        return safe

    def _place(self, decoded: Decoded) -> str:
        self._num_decoded += len(decoded.text)
        if self._held is not None:
            self._held.place(decoded.tokens)
        return decoded.text

    # ---- ends

    def _end_by_itself(self, output: TokenOutput) -> str:
        """Nothing is held back any more; a stop string that the last token completed goes first."""
        text = self._show(self._detokenizer.flush())
        if self.is_finished:
            return text
        if output.is_complete:
            self._finish("stop", None)
        else:
            self._finish("length", NO_TOKEN_LEFT if output.error_code == NO_TOKEN_LEFT else None)
        return text + self._rest("")

    def _end_by_token(self, output: TokenOutput) -> str:
        """That token is counted and scored; shown is only a stop token, and only where that is asked for."""
        token_id, stop_id = output.token_ids[-1], output.stop_token_id
        self._count(None if output.logprobs is None else list(rows(output.logprobs))[-1])
        is_shown = stop_id is not None and self._keeps_stop
        text = self._place(self._detokenizer.decode((token_id,), shows_special=True)) if is_shown else ""
        text += self._place(self._detokenizer.flush())
        if not is_shown:
            self._place(Decoded("", (self._hidden(token_id),)))
        self._finish("stop", stop_id if stop_id is None else self._stop_names.get(stop_id, stop_id))
        return self._rest(text)

    def _hidden(self, token_id: int) -> DetokenizedToken:
        return DetokenizedToken(token_id, self._num_decoded, self._num_decoded, self._tokenizer.token_names[token_id])

    def _rest(self, text: str) -> str:
        """What was held back, and a last text in which no stop string is looked for."""
        rest = self._matcher.flush() + text
        self._num_shown += len(rest)
        return rest

    def _finish(self, reason: str, stop_reason: StopReason) -> None:
        self.finish_reason, self._stop_reason = reason, stop_reason
        if self._held is not None:  # characters of a split token may still be on their way
            self._held.place(self._detokenizer.flush().tokens)

    def _release(self, held: HeldTokens) -> Released:
        return held.release_all(self._num_shown) if self.is_finished else held.release(self._num_shown)


def _held_tokens(request: CompletionRequest, tokenizer: Tokenizer, first_offset: int) -> HeldTokens | None:
    """None where nothing is asked for but text."""
    if request.logprobs is None:
        return HeldTokens(None, has_ids=True) if request.return_token_ids else None
    names_ids = request.return_tokens_as_token_ids
    entries = (
        TokenEntries(tokenizer, request.logprobs, names_ids=names_ids)
        if request.lists_tokens
        else Entries(tokenizer, request.logprobs, first_offset, names_ids=names_ids)
    )
    return HeldTokens(entries, has_ids=request.return_token_ids)
