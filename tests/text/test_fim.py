"""Prompts with a gap: each family's sentinels, a model's own template, and texts that go on after something."""

from __future__ import annotations

from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken

from ensue.errors import ModelError
from ensue.text.fim import FAMILIES, Family, fim_format, suffix_ids
from ensue.text.tokenizer import Tokenizer
from tests.text.conftest import byte_level, sentence_piece

TEMPLATE = "<|im_end|>{suffix}</s>{prefix}<s>"


def with_tokens(*contents: str, settings: dict[str, Any] | None = None) -> Tokenizer:
    backend = byte_level()
    backend.add_tokens([AddedToken(content, normalized=False) for content in contents])
    return Tokenizer(backend, settings or {}, None)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.prefix)
def test_each_family_puts_the_gap_last(family: Family) -> None:
    tokenizer = with_tokens(family.prefix, family.suffix, family.middle, *family.ends)
    found = fim_format(tokenizer)
    assert found is not None
    names = [tokenizer.token_text(id_) for id_ in found.join((), ())]
    assert names == [family.prefix, family.suffix, family.middle]
    assert [tokenizer.token_text(id_) for id_ in found.end_token_ids] == list(family.ends)


def test_ends_that_the_vocabulary_lacks_are_left_out() -> None:
    found = fim_format(with_tokens("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>"))
    assert found is not None
    assert len(found.end_token_ids) == 1


@pytest.mark.parametrize("contents", [(), ("<|fim_prefix|>", "<|fim_middle|>")])
def test_a_vocabulary_without_all_sentinels_has_no_gaps(contents: tuple[str, ...]) -> None:
    assert fim_format(with_tokens(*contents)) is None


def test_a_template_goes_before_the_sentinels_and_may_turn_the_order() -> None:
    family = FAMILIES[0]
    tokenizer = with_tokens(family.prefix, family.suffix, family.middle, settings={"fim_template": TEMPLATE})
    found = fim_format(tokenizer)
    assert found is not None
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in ("fox {suffix}", "the")]
    assert tokenizer.decode(found.join(*ids)) == "<|im_end|>the</s>fox {suffix}<s>"


@pytest.mark.parametrize("template", ["{prefix}", "{suffix}{prefix}{prefix}", 5, ["{prefix}{suffix}"]])
def test_a_template_without_both_places_is_refused(template: Any) -> None:
    with pytest.raises(ModelError, match="fim_template"):
        with_tokens(settings={"fim_template": template})


def test_a_suffix_is_encoded_without_the_space_that_begins_texts() -> None:
    tokenizer = Tokenizer(sentence_piece(), {}, None)
    assert tokenizer.token_text(tokenizer.encode("the", add_special_tokens=False)[0]) == "▁"
    assert [tokenizer.token_text(id_) for id_ in suffix_ids("the", tokenizer)] == ["t", "h", "e"]
    assert [tokenizer.token_text(id_) for id_ in suffix_ids(" the", tokenizer)] == ["▁", "t", "h", "e"]


def test_special_text_in_a_suffix_is_parsed(tokenizer: Tokenizer) -> None:
    assert tokenizer.eos_token_id in suffix_ids("a</s>", tokenizer)


def test_leading_tokens_are_those_before_a_text(backend: tokenizers.Tokenizer, tokenizer: Tokenizer) -> None:
    assert tokenizer.leading_token_ids == (tokenizer.bos_token_id,)
    backend_without = tokenizers.Tokenizer.from_str(backend.to_str())
    backend_without.post_processor = tokenizers.processors.Sequence([])
    assert Tokenizer(backend_without, {}, None).leading_token_ids == ()
