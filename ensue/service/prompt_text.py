"""A prompt as an answer shows it: its text, and where each of its tokens stands in that."""

from __future__ import annotations

from typing import NamedTuple

from ensue.service.request import CompletionRequest, Prompt
from ensue.text.detokenizer import DetokenizedToken, Detokenizer
from ensue.text.tokenizer import Tokenizer


class PlacedText(NamedTuple):
    """A text and its tokens."""

    text: str
    tokens: tuple[DetokenizedToken, ...]


def placed(shown: Prompt, token_ids: tuple[int, ...], request: CompletionRequest, tokenizer: Tokenizer) -> PlacedText:
    """The text exactly as given where a text is shown, which is then that of the `token_ids`; else as decoded."""
    if not isinstance(shown, str):
        spaces = request.spaces_between_special_tokens
        return _decode(shown, tokenizer, skip_special_tokens=request.skip_special_tokens, spaces=spaces)
    decoded, tokens = _decode(token_ids, tokenizer, skip_special_tokens=False)
    num_added = len(decoded) - len(shown)  # characters of special tokens that encoding put before the text
    if not decoded.endswith(shown):  # a normalizer changed the text: the places are the nearest there are
        decoded, tokens = _decode(token_ids, tokenizer, skip_special_tokens=True)
        num_added = 0
    special = tokenizer.special_token_ids
    return PlacedText(shown, tuple(_shift(token, num_added, shown, token.token_id in special) for token in tokens))


def _shift(token: DetokenizedToken, num_added: int, text: str, is_special: bool) -> DetokenizedToken:
    """What stands before the text by the space that begins texts is named by its part in it."""
    start, end = (min(max(place - num_added, 0), len(text)) for place in (token.start, token.end))
    is_cut = token.start < num_added and not is_special
    return token._replace(start=start, end=end, name=text[start:end] if is_cut else token.name)


def _decode(
    token_ids: tuple[int, ...], tokenizer: Tokenizer, *, skip_special_tokens: bool, spaces: bool = False
) -> PlacedText:
    detokenizer = Detokenizer(tokenizer, skip_special_tokens=skip_special_tokens, spaces_between_special_tokens=spaces)
    first, last = detokenizer.decode(token_ids), detokenizer.flush()
    return PlacedText(first.text + last.text, first.tokens + last.tokens)
