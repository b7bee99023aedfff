"""The tokenizer equals the library's, and transformers'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from ensue.errors import ModelError
from ensue.text.tokenizer import Tokenizer
from tests.text.conftest import byte_level

any_text = st.text(st.characters(codec="utf-8"), max_size=40)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@shared
@given(text=any_text, add_special_tokens=st.booleans())
def test_encode_equals_transformers(
    backend: tokenizers.Tokenizer, tokenizer: Tokenizer, text: str, add_special_tokens: bool
) -> None:
    reference = PreTrainedTokenizerFast(tokenizer_object=backend)  # type: ignore[no-untyped-call]
    assert (
        tokenizer.encode(text, add_special_tokens) == reference(text, add_special_tokens=add_special_tokens).input_ids
    )


@shared
@given(text=any_text)
def test_decode_equals_the_library(backend: tokenizers.Tokenizer, tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids, skip_special_tokens=True) == backend.decode(ids, skip_special_tokens=True)


@shared
@given(data=st.data())
def test_decode_of_any_ids_equals_the_library_for_byte_level(data: st.DataObject) -> None:
    backend = byte_level()
    tokenizer = Tokenizer(backend, {}, None)
    ids = data.draw(st.lists(st.integers(0, backend.get_vocab_size() - 1), max_size=30))
    assert tokenizer.decode(ids) == backend.decode(ids, skip_special_tokens=False)


@shared
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_no_token_stands_for_more_characters_than_the_bound(tokenizer: Tokenizer, text: str) -> None:
    bound = tokenizer.longest_token_chars
    assert bound is None or len(text) <= bound * len(tokenizer.encode(text, add_special_tokens=False))


def test_special_text_is_parsed_and_known(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("a</s>", add_special_tokens=False)[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id in tokenizer.special_token_ids
    assert tokenizer.bos_token_id == tokenizer.encode("")[0]
    assert tokenizer.token_id("no such token") is None
    assert tokenizer.chat_template == "{{ bos_token }}"


def test_an_id_without_a_token_has_no_bytes(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_bytes(10**6) == b""
    assert tokenizer.token_text(10**6) is None


def test_truncation_and_padding_of_the_file_are_off(backend: tokenizers.Tokenizer, tmp_path: Path) -> None:
    copy = tokenizers.Tokenizer.from_str(backend.to_str())
    copy.enable_truncation(2)
    copy.enable_padding(length=50)
    copy.save(str(tmp_path / "tokenizer.json"))
    assert len(Tokenizer.from_folder(tmp_path).encode("the dog " * 5, add_special_tokens=False)) not in (2, 50)


def test_a_template_file_wins_over_the_setting(backend: tokenizers.Tokenizer, tmp_path: Path) -> None:
    backend.save(str(tmp_path / "tokenizer.json"))
    named = [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert Tokenizer.from_folder(tmp_path).chat_template == "d"
    (tmp_path / "chat_template.jinja").write_text("file")
    assert Tokenizer.from_folder(tmp_path).chat_template == "file"


def test_a_folder_without_tokenizer_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no tokenizer.json, .* found: tokenizer.model"):
        Tokenizer.from_folder(tmp_path)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer.json cannot be read"):
        Tokenizer.from_folder(tmp_path)
