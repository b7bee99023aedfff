"""The tokenizer equals the library's, and transformers'."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, normalizers
from transformers import PreTrainedTokenizerFast

from ensue.errors import InvalidRequest, ModelError
from ensue.text.tokenizer import Tokenizer
from tests.text.conftest import byte_level, sentence_piece

any_text = st.text(st.characters(codec="utf-8"), max_size=40)
shared = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)


@shared
@given(text=any_text, add_special_tokens=st.booleans())
def test_encode_equals_transformers(
    backend: tokenizers.Tokenizer, tokenizer: Tokenizer, text: str, add_special_tokens: bool
) -> None:
    reference = PreTrainedTokenizerFast(tokenizer_object=backend)  # type: ignore[no-untyped-call]
    assert (
        tokenizer.encode(text, add_special_tokens) == reference(text, add_special_tokens=add_special_tokens).input_ids
    )


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


def test_what_drops_merges_in_training_is_off() -> None:
    backend, copy = byte_level(), byte_level()
    copy.model.dropout = 1.0
    text = "Once upon a time"
    assert copy.encode(text).ids != backend.encode(text).ids
    assert Tokenizer(copy, {}, None).encode(text) == backend.encode(text).ids


def test_a_text_that_the_library_gives_up_is_the_callers_error(backend: tokenizers.Tokenizer) -> None:
    copy = tokenizers.Tokenizer.from_str(backend.to_str())
    copy.normalizer = normalizers.Replace(tokenizers.Regex("(?=(a+)+$)x"), "y")
    tokenizer = Tokenizer(copy, {}, None)
    with pytest.raises(InvalidRequest, match="fails at this text") as refused:
        tokenizer.encode("a" * 40 + "b")
    assert refused.value.param == "prompt"
    assert tokenizer.encode("a")


GROWING = [
    normalizers.Sequence([normalizers.Replace(tokenizers.Regex("."), "x" * 10)] * 4),
    normalizers.Sequence([normalizers.NFC(), normalizers.Sequence([normalizers.Replace("ab", "x" * 9_999)])]),
    normalizers.Prepend("x" * 9_999),
]


@pytest.mark.parametrize("normalizer", GROWING, ids=str)
def test_a_normalizer_that_makes_texts_much_longer_is_refused(
    backend: tokenizers.Tokenizer, normalizer: normalizers.Normalizer
) -> None:
    copy = tokenizers.Tokenizer.from_str(backend.to_str())
    copy.normalizer = normalizer
    with pytest.raises(ModelError, match="writes more than 1024 characters for one"):
        Tokenizer(copy, {}, None)


def test_many_replacements_that_make_texts_no_longer_are_taken(backend: tokenizers.Tokenizer) -> None:
    copy = tokenizers.Tokenizer.from_str(backend.to_str())
    copy.normalizer = normalizers.Sequence([normalizers.Replace("``", "''")] * 99 + [normalizers.Prepend("▁")])
    assert Tokenizer(copy, {}, None).vocab_size


def test_a_template_file_wins_over_the_setting(backend: tokenizers.Tokenizer, tmp_path: Path) -> None:
    backend.save(str(tmp_path / "tokenizer.json"))
    named = [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert Tokenizer.from_folder(tmp_path).chat_template == "d"
    (tmp_path / "chat_template.jinja").write_text("file")
    assert Tokenizer.from_folder(tmp_path).chat_template == "file"


def test_a_template_for_tools_is_one_of_its_own(backend: tokenizers.Tokenizer, tmp_path: Path) -> None:
    backend.save(str(tmp_path / "tokenizer.json"))
    named = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
    for templates, expected in (("d", None), (named, "t")):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
        assert Tokenizer.from_folder(tmp_path).tool_template == expected
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("file")
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert (tokenizer.chat_template, tokenizer.tool_template) == ("d", "file")


def test_a_folder_without_tokenizer_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no tokenizer.json, .* found: tokenizer.model"):
        Tokenizer.from_folder(tmp_path)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer.json cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_settings_of_another_kind_are_refused(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ModelError, match=r"tokenizer_config.json is not a JSON object"):
        Tokenizer.from_folder(tmp_path)


FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    byte_level().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text("text")
    for settings_file in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / settings_file).write_text("{}")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(ModelError, match=f"{name} is a link that leads out"):
        Tokenizer.from_folder(folder)


def test_settings_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"tokenizer_config.json cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_a_template_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match=r"chat_template.jinja cannot be read"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.WordPiece(),
        decoders.Sequence([decoders.ByteLevel(), decoders.WordPiece()]),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)]),
        decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 0, 1)]),
        decoders.Replace(tokenizers.Regex("▁+"), " "),
    ],
)
def test_a_decoder_that_does_not_work_token_by_token_is_refused(decoder: decoders.Decoder) -> None:
    backend = sentence_piece()
    backend.decoder = decoder
    with pytest.raises(ModelError, match="step that is not supported"):
        Tokenizer(backend, {}, None)


def test_an_added_token_is_read_as_the_library_reads_it() -> None:
    backend = byte_level()
    backend.add_tokens(["é"])  # its character stands for a byte, too
    ids = Tokenizer(backend, {}, None).encode("é wörd with space")
    assert Tokenizer(backend, {}, None).decode(ids) == backend.decode(ids, skip_special_tokens=False)


def test_encoding_from_many_threads_gives_the_same(tokenizer: Tokenizer) -> None:
    texts = [f"the fox {n} jumps 🤖" * n for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == [tokenizer.encode(text) for text in texts]


FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "eos_token": {"eos_token": "</s>"},
    "eos_token as an object": {"eos_token": {"__type": "AddedToken", "content": "</s>", **FLAGS}},
    "a token of its own": {"image_token": "</s>"},
    "extra": {"extra_special_tokens": ["</s>"]},
    "additional": {"additional_special_tokens": ["</s>"]},
    "declared": {"added_tokens_decoder": {"1": {"content": "</s>", **FLAGS}}},
    "declared plain": {"added_tokens_decoder": {"1": {"content": "</s>", **FLAGS, "special": False}}},
    "declared to swallow": {"added_tokens_decoder": {"1": {"content": "</s>", **FLAGS, "rstrip": True}}},
    "add_bos_token false": {"bos_token": "<s>", "add_bos_token": False},
    "add_bos_token and add_eos_token": {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "add_bos_token": True,
        "add_eos_token": True,
    },
}


@pytest.mark.parametrize("in_file", ["missing", "plain", "special"])
@pytest.mark.parametrize("given", SETTINGS.values(), ids=SETTINGS)
def test_settings_count_as_in_transformers(given: Mapping[str, Any], in_file: str, tmp_path: Path) -> None:
    layout = json.loads(byte_level().to_str())
    added = next(token for token in layout["added_tokens"] if token["content"] == "</s>")
    if in_file == "missing":
        layout["added_tokens"].remove(added)
    added["special"] = in_file == "special"
    (tmp_path / "tokenizer.json").write_text(json.dumps(layout))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **given}))
    reference = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    tokenizer = Tokenizer.from_folder(tmp_path)
    ids = tokenizer.encode("fox</s> fox")
    assert ids == reference("fox</s> fox").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == reference.decode(ids, skip_special_tokens=True)
    assert (tokenizer.bos_token, tokenizer.eos_token) == (reference.bos_token, reference.eos_token)


@pytest.mark.parametrize("settings_of_file", [{}, {"added_tokens_decoder": {}}])
def test_the_old_map_of_special_tokens_counts_as_in_transformers(
    settings_of_file: Mapping[str, Any], tmp_path: Path
) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    own = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", **settings_of_file}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(own))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<|im_end|>", "eos_token": "</s>"}))
    reference = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert (tokenizer.bos_token, tokenizer.eos_token) == (reference.bos_token, reference.eos_token)


def test_a_named_token_without_a_row_in_the_model_is_not_added() -> None:
    tokenizer = Tokenizer(byte_level(), {"pad_token": "[PAD]", "extra_special_tokens": ["[X]"]}, None)
    assert tokenizer.vocab_size == byte_level().get_vocab_size()
    assert tokenizer.token_id("[PAD]") is None
