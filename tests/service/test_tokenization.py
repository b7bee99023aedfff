"""Texts to ids and back."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.served_models import ServedModel
from ensue.service.tokenization import TokenizationService
from ensue.text.tokenizer import Tokenizer

SPECIAL = st.sampled_from(
    ["<|im_start|>", "<|end_of_text|>", "<|im_", "\u00e9", "e\u0301", "🦊", "\u200d", "\x00", "\r\n"]
)
TEXTS = st.lists(SPECIAL | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=6).map("".join)


@given(text=TEXTS)
def test_a_text_comes_back_from_its_ids(tokenizer: Tokenizer, text: str) -> None:
    service = TokenizationService()
    engine = FakeEngine(logits_width=tokenizer.vocab_size)
    model = ServedModel("tiny", engine, tokenizer, LimitsConfig(), root="tiny", created=0)

    async def there_and_back() -> str:
        tokens = await service.tokenize(model, text, add_special_tokens=False)
        return await service.detokenize(model, tuple(tokens.ids))

    assert asyncio.run(there_and_back()) == text
    service.close()


async def test_texts_of_one_owner_do_not_all_go_before_that_of_another(tokenizer: Tokenizer) -> None:
    service, order = TokenizationService(), list[str]()
    engine = FakeEngine(logits_width=tokenizer.vocab_size)
    model = ServedModel("tiny", engine, tokenizer, LimitsConfig(), root="tiny", created=0)

    async def ask(owner: str) -> None:
        await service.tokenize(model, "one", add_special_tokens=False, owner=owner)
        order.append(owner)

    await asyncio.gather(*map(ask, [*["flood"] * 9, "other"]))
    service.close()
    assert order.index("other") <= 2
