"""A prompt as token ids and as text: encoding, the checks on both, and where each of its tokens stands in the text."""

from __future__ import annotations

from dataclasses import dataclass

from ensue.errors import ContextLengthExceeded, InvalidRequest
from ensue.outputs import EngineInfo
from ensue.service.request import CompletionRequest, Prompt
from ensue.text.detokenizer import DetokenizedToken, Detokenizer
from ensue.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """One prompt, ready for an engine. Its text and its tokens' places are kept only where an answer needs them."""

    token_ids: tuple[int, ...]
    text: str = ""
    num_chars: int = 0
    tokens: tuple[DetokenizedToken, ...] = ()


def context_length(info: EngineInfo) -> int:
    """Tokens that the prompt and the completion may have together."""
    return min(info.max_model_len, info.max_request_tokens)


def encode_prompts(request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo) -> list[EncodedPrompt]:
    """Encode and check all prompts. Takes time, so it belongs off the event loop.

    Raises:
        InvalidRequest: an id out of range, or an empty prompt.
        ContextLengthExceeded: a prompt, or a prompt with `max_tokens`, is too long.
    """
    return [_encode(prompt, _path(request, i), request, tokenizer, info) for i, prompt in enumerate(request.prompts)]


def _path(request: CompletionRequest, index: int) -> str:
    return f"prompt[{index}]" if request.is_list else "prompt"


def _encode(
    prompt: Prompt, path: str, request: CompletionRequest, tokenizer: Tokenizer, info: EngineInfo
) -> EncodedPrompt:
    limit = context_length(info)
    if isinstance(prompt, str):
        token_ids = _encode_text(prompt, path, tokenizer, limit)
    else:
        token_ids = prompt
        _check_ids(token_ids, path, info.logits_width)
    _check_length(len(token_ids), path, request.max_tokens, limit)
    if not request.echo and request.logprobs is None:
        return EncodedPrompt(token_ids)
    text, tokens = _place(prompt, token_ids, tokenizer)
    return EncodedPrompt(token_ids, text, len(text), tokens if request.scores_prompt else ())


def _encode_text(text: str, path: str, tokenizer: Tokenizer, limit: int) -> tuple[int, ...]:
    longest = tokenizer.longest_token_chars
    if longest is not None and len(text) > limit * longest:
        raise _too_long(limit, f"the prompt has {len(text)} characters, which are more tokens", path)
    token_ids = tokenizer.encode(text)
    if not token_ids and not text and tokenizer.bos_token_id is not None:
        token_ids = [tokenizer.bos_token_id]
    if not token_ids:
        raise InvalidRequest("The prompt must not be empty: this model has no token that begins a text.", param=path)
    return tuple(token_ids)


def _check_ids(token_ids: tuple[int, ...], path: str, width: int) -> None:
    if min(token_ids) >= 0 and max(token_ids) < width:
        return
    index = next(i for i, token_id in enumerate(token_ids) if not 0 <= token_id < width)
    raise InvalidRequest(f"Token ids must be from 0 to {width - 1}.", param=f"{path}[{index}]")


def _check_length(num_tokens: int, path: str, max_tokens: int | None, limit: int) -> None:
    if num_tokens > limit or (num_tokens == limit and max_tokens != 0):
        raise _too_long(limit, f"the prompt has {num_tokens}, which leaves no room for a completion", path)
    if max_tokens is not None and num_tokens + max_tokens > limit:
        raise _too_long(limit, f"the prompt has {num_tokens} and max_tokens asks for {max_tokens}", "max_tokens")


def _too_long(limit: int, why: str, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(f"This model's maximum context length is {limit} tokens; {why}.", param=param)


def _place(
    prompt: Prompt, token_ids: tuple[int, ...], tokenizer: Tokenizer
) -> tuple[str, tuple[DetokenizedToken, ...]]:
    """The prompt's text, exactly as given where it was a text, and the place of each token in it."""
    if not isinstance(prompt, str):
        return _decode(token_ids, tokenizer, skip_special_tokens=True)
    decoded, tokens = _decode(token_ids, tokenizer, skip_special_tokens=False)
    num_added = len(decoded) - len(prompt)  # characters of special tokens that encoding put before the text
    if not decoded.endswith(prompt):  # a normalizer changed the text: the places are the nearest there are
        decoded, tokens = _decode(token_ids, tokenizer, skip_special_tokens=True)
        num_added = 0
    return prompt, tuple(_shift(token, num_added, len(prompt)) for token in tokens)


def _shift(token: DetokenizedToken, num_added: int, num_chars: int) -> DetokenizedToken:
    start, end = (min(max(place - num_added, 0), num_chars) for place in (token.start, token.end))
    return token._replace(start=start, end=end)


def _decode(
    token_ids: tuple[int, ...], tokenizer: Tokenizer, *, skip_special_tokens: bool
) -> tuple[str, tuple[DetokenizedToken, ...]]:
    detokenizer = Detokenizer(tokenizer, skip_special_tokens=skip_special_tokens)
    first, last = detokenizer.decode(token_ids), detokenizer.flush()
    return first.text + last.text, first.tokens + last.tokens
