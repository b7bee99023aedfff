"""TokenizationService: a text to token ids and back, off the event loop and beside the prompts of completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from ensue.errors import InvalidRequest
from ensue.served_models import ServedModel
from ensue.service.conversation import Conversation
from ensue.service.prompt import check_ids, context_length
from ensue.turns import FairThreads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a text consists of."""

    ids: list[int]
    names: list[str | None] | None  # as the vocabulary writes them, where they are asked for
    max_model_len: int  # how many a prompt and its completion may have together


class TokenizationService:
    """Asks the tokenizer of any served model. One thread, so that completions don't wait behind it."""

    def __init__(self) -> None:
        self._thread = FairThreads(1, "tokenize")

    async def tokenize(
        self,
        model: ServedModel,
        text: str | Conversation,
        *,
        add_special_tokens: bool,
        has_names: bool = False,
        owner: str = "",
    ) -> Tokens:
        """
        Args:
            owner: in whose turn.

        Raises:
            InvalidRequest: more text than the server tokenizes, or the template refuses the messages.
        """
        limit = context_length(model.engine.info)

        def encode() -> Tokens:
            ids = _encoded(model, text, add_special_tokens)
            return Tokens(ids, list(map(model.tokenizer.token_text, ids)) if has_names else None, limit)

        return await self._thread.run(owner, encode)

    async def detokenize(self, model: ServedModel, token_ids: tuple[int, ...], owner: str = "") -> str:
        """
        Raises:
            InvalidRequest: an id that the model does not have.
        """
        width = model.engine.info.logits_width

        def decode() -> str:
            if token_ids:
                check_ids(token_ids, "tokens", width)
            return model.tokenizer.decode(token_ids)

        return await self._thread.run(owner, decode)

    def close(self) -> None:
        self._thread.close()


def _encoded(model: ServedModel, text: str | Conversation, add_special_tokens: bool) -> list[int]:
    param = "prompt" if isinstance(text, str) else "messages"
    shown = text if isinstance(text, str) else text.render()
    limit = model.limits.max_tokenize_chars
    if len(shown) > limit:
        raise InvalidRequest(f"A text to tokenize may have at most {limit} characters.", param=param)
    return model.tokenizer.encode(shown, add_special_tokens=add_special_tokens)
