"""A prompt to token ids: encoding, the gap before a suffix, truncation, and the checks on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ensue.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from ensue.outputs import EngineInfo
from ensue.service.conversation import Conversation
from ensue.service.prompt_text import placed
from ensue.service.request import CompletionRequest, Prompt
from ensue.text.detokenizer import DetokenizedToken
from ensue.text.fim import FimFormat, fim_format, suffix_ids
from ensue.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """One prompt, ready for an engine. Its text and its tokens' places are kept only where an answer needs them."""

    token_ids: tuple[int, ...]
    text: str = ""  # without a suffix
    num_chars: int = 0
    tokens: tuple[DetokenizedToken, ...] = ()  # of the text
    end_token_ids: tuple[int, ...] = ()  # that end the text which fills the gap


def context_length(info: EngineInfo) -> int:
    """Tokens that the prompt and the completion may have together."""
    return min(info.max_model_len, info.max_request_tokens)


def encode_prompts(request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo) -> list[EncodedPrompt]:
    """Encode and check all prompts. Takes time, so it belongs off the event loop.

    Raises:
        InvalidRequest: an id out of range, an empty prompt, a truncation or a suffix that is not possible here.
        UnsupportedParameter: a suffix, and the model knows no gaps.
        ContextLengthExceeded: a prompt, or a prompt with `max_tokens`, is too long.
    """
    _check_truncation(request.truncate_prompt_tokens, context_length(info))
    encoder: PlainEncoder = (
        GapEncoder(request, tokenizer, info) if request.suffix else PlainEncoder(request, tokenizer, info)
    )
    return [encoder.encode(prompt, _path(request, i)) for i, prompt in enumerate(request.prompts)]


def _path(request: CompletionRequest, index: int) -> str:
    if isinstance(request.prompts[index], Conversation):
        return "messages"
    return f"prompt[{index}]" if request.is_list else "prompt"


class PlainEncoder:
    """Encodes the prompts of one request."""

    def __init__(self, request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo) -> None:
        self._request = request
        self._tokenizer = tokenizer
        self._limit = context_length(info)
        self._width = info.logits_width

    def encode(self, prompt: Prompt | Conversation, path: str) -> EncodedPrompt:
        if isinstance(prompt, Conversation):
            prompt = prompt.render()
        all_ids = self._ids(prompt, path)
        token_ids = truncated(all_ids, self._request, self._tokenizer.bos_token_id)
        is_whole = len(token_ids) == len(all_ids)
        return self._checked(token_ids, prompt if is_whole else token_ids, path)

    def _ids(self, prompt: Prompt, path: str) -> tuple[int, ...]:
        if isinstance(prompt, str):
            return self._encode_text(prompt, path)
        check_ids(prompt, path, self._width)
        return prompt

    def _encode_text(self, text: str, path: str) -> tuple[int, ...]:
        self._check_characters(len(text), path)
        token_ids = self._tokenizer.encode(text, add_special_tokens=self._request.add_special_tokens)
        bos = self._tokenizer.bos_token_id
        if not token_ids and not text and bos is not None:
            token_ids = [bos]
        if not token_ids:
            why = "this model has no token that begins a text"
            raise InvalidRequest(f"The prompt must not be empty: {why}.", param=path)
        return tuple(token_ids)

    def _check_characters(self, num_chars: int, path: str) -> None:
        """Refuse what cannot fit before time is spent on it."""
        longest = self._tokenizer.longest_token_chars
        is_cut = self._request.truncate_prompt_tokens is not None
        if not is_cut and longest is not None and num_chars > self._limit * longest:
            raise _too_long(self._limit, f"the prompt has {num_chars} characters, which are more tokens", path)

    def _checked(
        self, token_ids: tuple[int, ...], shown: Prompt, path: str, end_token_ids: tuple[int, ...] = ()
    ) -> EncodedPrompt:
        """
        Args:
            shown: what an echo shows: a text, or the ids to decode.
        """
        request = self._request
        _check_length(len(token_ids), path, request.max_tokens, self._limit)
        if not request.echo and request.logprobs is None:
            return EncodedPrompt(token_ids, end_token_ids=end_token_ids)
        if isinstance(shown, str) and not request.scores_prompt:
            return EncodedPrompt(token_ids, shown, len(shown), (), end_token_ids)
        text, tokens = placed(shown, token_ids, request, self._tokenizer)
        return EncodedPrompt(token_ids, text, len(text), tokens, end_token_ids)


class GapEncoder(PlainEncoder):
    """Encodes prompts with the request's suffix, in the model's own format for gaps."""

    def __init__(self, request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo) -> None:
        super().__init__(request, tokenizer, info)
        assert request.suffix, "there is a gap to fill"
        if request.scores_prompt:
            raise InvalidRequest("logprobs with echo is not possible with a suffix.", param="logprobs")
        self._suffix = request.suffix
        self._format = self._find_format()
        self._check_characters(len(self._suffix), "suffix")
        self._suffix_ids = suffix_ids(self._suffix, tokenizer)
        self._leading = tokenizer.leading_token_ids if request.add_special_tokens else ()

    def encode(self, prompt: Prompt | Conversation, path: str) -> EncodedPrompt:
        if not isinstance(prompt, str):
            raise InvalidRequest("suffix is for prompts that are texts, not token ids.", param="suffix")
        self._check_characters(len(prompt) + len(self._suffix), path)
        all_ids = tuple(self._tokenizer.encode(prompt, add_special_tokens=False))
        kept_ids = self._kept(all_ids)
        token_ids = (*self._leading, *self._format.join(kept_ids, self._suffix_ids))
        shown = prompt if len(kept_ids) == len(all_ids) else kept_ids
        return self._checked(token_ids, shown, path, self._format.end_token_ids)

    def _find_format(self) -> FimFormat:
        found = fim_format(self._tokenizer)
        if found is None:
            raise UnsupportedParameter("This model was not taught to fill gaps: it takes no suffix.", param="suffix")
        return found

    def _kept(self, token_ids: tuple[int, ...]) -> tuple[int, ...]:
        """The end of the text before the gap: what truncation leaves beside the suffix and the special tokens."""
        limit = self._request.truncate_prompt_tokens
        if limit is None:
            return token_ids
        num_others = len(self._leading) + len(self._format.join((), self._suffix_ids))
        if num_others > limit:
            why = f"the suffix and its special tokens have {num_others} tokens, and they are not truncated"
            raise InvalidRequest(f"truncate_prompt_tokens is too small: {why}.", param="truncate_prompt_tokens")
        num_kept = limit - num_others
        return token_ids[:num_kept] if self._request.truncation_side == "right" else _last(token_ids, num_kept)


def truncated(token_ids: tuple[int, ...], request: CompletionRequest, bos: int | None) -> tuple[int, ...]:
    """The last or first ids that a request keeps; a leading BOS is one of them."""
    limit = request.truncate_prompt_tokens
    if limit is None or len(token_ids) <= limit:
        return token_ids
    if request.truncation_side == "right":
        return token_ids[:limit]
    if token_ids[0] == bos:
        return (token_ids[0], *_last(token_ids, limit - 1))
    return _last(token_ids, limit)


def _last(token_ids: tuple[int, ...], count: int) -> tuple[int, ...]:
    return token_ids[max(0, len(token_ids) - count) :]


def _check_truncation(limit: int | None, context: int) -> None:
    if limit is not None and not 1 <= limit <= context:
        raise InvalidRequest(
            f"truncate_prompt_tokens must be from 1 to the model's context length, {context}.",
            param="truncate_prompt_tokens",
        )


def out_of_vocabulary(path: str, width: int) -> InvalidRequest:
    return InvalidRequest(f"{path} is out of vocabulary: token ids must be from 0 to {width - 1}.", param=path)


def check_ids(token_ids: Sequence[int], path: str, width: int) -> None:
    if min(token_ids) >= 0 and max(token_ids) < width:
        return
    index = next(i for i, token_id in enumerate(token_ids) if not 0 <= token_id < width)
    raise out_of_vocabulary(f"{path}[{index}]", width)


def _check_length(num_tokens: int, path: str, max_tokens: int | None, limit: int) -> None:
    if num_tokens > limit or (num_tokens == limit and max_tokens != 0):
        raise _too_long(limit, f"the prompt has {num_tokens}, which leaves no room for a completion", path)
    if max_tokens is not None and num_tokens + max_tokens > limit:
        raise _too_long(limit, f"the prompt has {num_tokens} and max_tokens asks for {max_tokens}", "max_tokens")


def _too_long(limit: int, why: str, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(f"This model's maximum context length is {limit} tokens; {why}.", param=param)
