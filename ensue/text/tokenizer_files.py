"""What stands beside tokenizer.json in a model folder: settings, named special tokens, templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ensue.config import MIB
from ensue.errors import ModelError
from ensue.model_folder import find, refuse_large

MAX_BYTES = 256 * MIB  # of each file
Settings = Mapping[str, Any]
TokenFlags = Mapping[str, Any]


def read_settings(folder: Path) -> Settings:
    """The content of tokenizer_config.json; special_tokens_map.json counts where that has no `added_tokens_decoder`.

    Raises:
        ModelError: not JSON objects, or links that lead out of the folder.
    """
    settings = _read_object(folder, "tokenizer_config.json")
    if "added_tokens_decoder" in settings:
        return settings
    return {**settings, **_read_object(folder, "special_tokens_map.json")}


def find_chat_template(folder: Path, settings: Settings) -> str | None:
    """The usual one: a file of its own wins over the setting; of several named ones it is `default`.

    Raises:
        ModelError: the file is not text, or a link that leads out of the folder.
    """
    return _template(folder, settings, "chat_template.jinja", "default")


def find_tool_template(folder: Path, settings: Settings) -> str | None:
    """The one for requests with tools, where there is one besides the usual.

    Raises:
        ModelError: as above.
    """
    return _template(folder, settings, "additional_chat_templates/tool_use.jinja", "tool_use")


def _template(folder: Path, settings: Settings, file_name: str, name: str) -> str | None:
    file = find(folder, file_name)
    if file is not None:
        return _read_text(file)
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = (entry for entry in template if isinstance(entry, dict))
        template = next((entry.get("template") for entry in named if entry.get("name") == name), None)
    elif name != "default":
        return None
    return template if isinstance(template, str) else None


def find_fim_template(settings: Settings) -> str | None:
    """How the model was taught to fill gaps: a text with `{prefix}` and `{suffix}`, each once.

    Raises:
        ModelError: it is not.
    """
    template = settings.get("fim_template")
    if template is None:
        return None
    if not isinstance(template, str) or any(template.count(place) != 1 for place in ("{prefix}", "{suffix}")):
        raise ModelError("The model's fim_template must be a text with {prefix} and {suffix}, each once.")
    return template


def class_name(settings: Settings) -> str | None:
    """What transformers calls the tokenizer; clients are told."""
    name = settings.get("tokenizer_class")
    return name if isinstance(name, str) else None


def named_tokens(settings: Settings) -> dict[str, str]:
    """Special tokens by name: bos_token, eos_token, and whatever else a model calls its own."""
    contents = {name: content_of(value) for name, value in settings.items() if name.endswith("_token")}
    return {name: content for name, content in contents.items() if content is not None}


def declared_tokens(settings: Settings) -> list[TokenFlags]:
    """Added tokens with their flags, as the library's AddedToken takes them; these go before the flags of the file."""
    declared = settings.get("added_tokens_decoder")
    values = declared.values() if isinstance(declared, dict) else ()
    return [_flags(value) for value in values if isinstance(value, dict) and content_of(value) is not None]


def unnamed_tokens(settings: Settings) -> list[TokenFlags]:
    """Special tokens that count only where the file has no added token of this text.

    Raises:
        ModelError: not a list or an object.
    """
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    values = extra.values() if isinstance(extra, dict) else extra
    if not isinstance(values, Iterable):
        raise ModelError("The model's extra special tokens must be a list or an object.")
    return [_flags(value) for value in values if content_of(value) is not None]


def content_of(token: Any) -> str | None:
    """A special token is written as a text or as an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and text else None


def _flags(value: Any) -> TokenFlags:
    if isinstance(value, str):
        return {"content": value, "special": True, "normalized": False}
    flags = ("special", "lstrip", "rstrip", "single_word", "normalized")
    return {"content": value["content"]} | {flag: bool(value[flag]) for flag in flags if flag in value}


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    path = find(folder, name)
    if path is None:
        return {}
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The model's {name} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise ModelError(f"The model's {name} is not a JSON object.")
    return content


def _read_text(path: Path) -> str:
    try:
        refuse_large(path, MAX_BYTES)
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The model's {path.name} cannot be read: {type(error).__name__}.") from None
