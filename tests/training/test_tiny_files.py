"""The files in ``ensue/tiny`` agree with one another and with the training code."""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from training.chat import Chat
from training.model import CONFIG, token
from training.questions import Turn
from training.tokenizer import BOS, SPECIAL, VOCABULARY

TINY = Path(__file__).parents[2] / "ensue" / "tiny"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TINY / "tokenizer.json"))


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((TINY / name).read_text())
    return content


def test_vocabulary_has_the_size_of_the_config(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == VOCABULARY == read("config.json")["vocab_size"]


def test_config_file_is_the_one_that_training_writes() -> None:
    assert read("config.json") == CONFIG


@pytest.mark.parametrize("name", SPECIAL)
def test_special_token_has_its_id_and_is_one_token(tokenizer: Tokenizer, name: str) -> None:
    assert tokenizer.token_to_id(name) == token(name)
    assert tokenizer.encode(f"a{name}b").ids.count(token(name)) == 1 + (name == BOS)


@pytest.mark.parametrize("text", ["", " ", "naïve – 東京 🙂", "\t\r\n  x", "".join(map(chr, range(0x20, 0x250)))])
def test_any_text_decodes_to_itself(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text).ids
    assert ids[0] == token(BOS)
    assert tokenizer.decode(ids) == text


def test_digits_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("1234", add_special_tokens=False).tokens == ["1", "2", "3", "4"]


@pytest.mark.parametrize("system", [None, "Be short."])
def test_chat_template_writes_what_the_corpus_writes(system: str | None) -> None:
    template = ImmutableSandboxedEnvironment().from_string(read("tokenizer_config.json")["chat_template"])
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": "Hi"}]
    chat = Chat((Turn("Hi", "Hello"),), system)
    assert template.render(messages=messages, bos_token=BOS, add_generation_prompt=True) == BOS + chat.prompt()
    messages += [{"role": "assistant", "content": "Hello"}]
    assert template.render(messages=messages, bos_token=BOS) == BOS + chat.text()


def test_generation_config_ends_at_both_end_tokens() -> None:
    assert read("generation_config.json")["eos_token_id"] == [token("<|end_of_text|>"), token("<|im_end|>")]


def test_files_are_at_most_sixteen_megabytes() -> None:
    assert sum(path.stat().st_size for path in TINY.iterdir() if path.is_file()) <= 16_000_000
