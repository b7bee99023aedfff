"""Text to token ids and back, by a model's tokenizer.json; the text of special tokens is parsed as such."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from ensue.errors import ModelError
from ensue.text.token_bytes import decoding_of

NORMALIZED_CHARS = 4  # a normalizer may write this many characters as one (NFC: a letter and its accents)


class Tokenizer:
    """One model's tokenizer; encoding is thread-safe, as the library's is.

    With a tokenizer.json, its own post-processor says which special tokens are added; transformers, too, ignores
    `add_bos_token` of tokenizer_config.json then. Truncation and padding stored in the file are off.
    """

    def __init__(self, backend: tokenizers.Tokenizer, settings: dict[str, Any], chat_template: str | None) -> None:
        """
        Args:
            settings: the content of tokenizer_config.json.

        Raises:
            ModelError: the decoder is of no family that we can stream.
        """
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        layout: dict[str, Any] = json.loads(backend.to_str())
        self._to_bytes, self.num_leading_spaces = decoding_of(layout["decoder"])
        self._bytes: dict[int, bytes] = {}
        added = backend.get_added_tokens_decoder()
        self.special_token_ids = frozenset(id_ for id_, token in added.items() if token.special)
        self.chat_template = chat_template
        self.bos_token = _content(settings.get("bos_token"))
        self.eos_token = _content(settings.get("eos_token"))
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)
        self.longest_token_chars = self._longest_token_chars(layout, added.values())

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read tokenizer.json, and tokenizer_config.json and chat_template.jinja where they are.

        Raises:
            ModelError: no tokenizer.json, or one that can't be read.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            found = ", ".join(sorted(p.name for p in folder.glob("*token*"))) or "none"
            raise ModelError(f"The model has no tokenizer.json, which is needed (tokenizer files found: {found}).")
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"The model's tokenizer.json cannot be read: {error}.") from None
        settings = _read_settings(folder / "tokenizer_config.json")
        return cls(backend, settings, _find_chat_template(folder, settings))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text without lone surrogates."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids; invalid UTF-8 becomes U+FFFD."""
        kept = (i for i in token_ids if not (skip_special_tokens and i in self.special_token_ids))
        data = b"".join(map(self.token_bytes, kept))
        return codecs.decode(self.drop_leading_spaces(data), "utf-8", "replace")

    def drop_leading_spaces(self, data: bytes) -> bytes:
        """What is shown of the first bytes of a text."""
        num_spaces = len(data) - len(data.lstrip(b" "))
        return data[min(num_spaces, self.num_leading_spaces) :]

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; none for an id without a token."""
        if token_id not in self._bytes:
            token = self.token_text(token_id)
            self._bytes[token_id] = b"" if token is None else self._to_bytes(token)
        return self._bytes[token_id]

    def token_text(self, token_id: int) -> str | None:
        """The token as the vocabulary writes it; None for an id without a token."""
        token: str | None = self._backend.id_to_token(token_id)
        return token

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it."""
        token_id: int | None = self._backend.token_to_id(token)
        return token_id

    @property
    def bos_token_id(self) -> int | None:
        return None if self.bos_token is None else self.token_id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        return None if self.eos_token is None else self.token_id(self.eos_token)

    def _longest_token_chars(self, layout: dict[str, Any], added: Any) -> int | None:
        """Characters of text that one token can stand for, at most; None where there is no bound.

        An added token with lstrip or rstrip swallows any white space beside it; an unknown-token may swallow anything.
        """
        if any(token.lstrip or token.rstrip for token in added) or layout["model"].get("unk_token") is not None:
            return None
        longest = max(map(len, self._backend.get_vocab(with_added_tokens=True)))
        return longest * (NORMALIZED_CHARS if layout["normalizer"] else 1)


def _content(token: Any) -> str | None:
    """A special token is written as a text or as an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The model's {path.name} cannot be read: {error}.") from None
    if not isinstance(settings, dict):
        raise ModelError(f"The model's {path.name} is not a JSON object.")
    return settings


def _find_chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """A file of its own wins over the setting; of several named ones, `default` is taken."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
    return template if isinstance(template, str) else None
