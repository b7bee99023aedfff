"""The API process, put together: whose sampling defaults and whose chat template hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ensue.tiny
from ensue.build.api import chat_template, served_model
from ensue.child import ModelSource, ProcessSettings
from ensue.config import Config, ServerConfig
from ensue.engine.fake import FakeEngine
from ensue.errors import ConfigError
from ensue.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)


def sampling_defaults(folder: Path, recommended: dict[str, Any], **server: Any) -> dict[str, float | int]:
    (folder / "generation_config.json").write_text(json.dumps(recommended))
    settings = ProcessSettings(Config(server=ServerConfig(**server)), ModelSource(str(folder), "m", "m"), "")
    return dict(served_model(settings, FakeEngine(), TOKENIZER).sampling_defaults)


def test_the_models_defaults_hold_only_where_that_is_chosen(tmp_path: Path) -> None:
    recommended = {"temperature": 0.6, "top_k": -1, "repetition_penalty": 1.05, "eos_token_id": 1}
    assert sampling_defaults(tmp_path, recommended) == {}
    assert sampling_defaults(tmp_path, recommended, generation_config="model") == {
        "temperature": 0.6,
        "top_k": 0,
        "repetition_penalty": 1.05,
    }


@pytest.mark.parametrize("recommended", [{"temperature": 3}, {"min_p": 2}, {"top_p": 1.5}], ids=str)
def test_a_default_that_no_request_could_have_stops_the_start(tmp_path: Path, recommended: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"generation_config.json asks .*{next(iter(recommended))} must be"):
        sampling_defaults(tmp_path, recommended, generation_config="model")


def test_a_template_file_goes_before_the_models_own(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{{ bos_token }}{{ messages[0].content }}")
    own, given = (
        chat_template(ServerConfig(), TOKENIZER),
        chat_template(ServerConfig(chat_template=str(file)), TOKENIZER),
    )
    assert own is not None
    assert given is not None
    assert own.source == TOKENIZER.chat_template
    assert given.render([{"role": "user", "content": "Hi"}]) == "<|begin_of_text|>Hi"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "FileNotFoundError"), (b"{% if %}", "not valid"), (b"\xff", "UnicodeDecodeError")]
)
def test_a_template_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "chat.jinja"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"--chat-template.*{message}"):
        chat_template(ServerConfig(chat_template=str(file)), TOKENIZER)


@pytest.mark.parametrize(("parser", "name"), [("auto", "hermes"), ("llama3", "llama3"), ("mistral", "mistral")])
def test_how_a_model_calls_tools_is_read_off_its_files_or_set(tmp_path: Path, parser: str, name: str) -> None:
    config = Config(server=ServerConfig(tool_call_parser=parser))  # type: ignore[arg-type]
    settings = ProcessSettings(config, ModelSource(str(tmp_path), "m", "m"), "")
    support = served_model(settings, FakeEngine(), TOKENIZER).tool_support
    assert support is not None
    assert (support.format.name, support.is_known) == (name, True)
