"""Text to token ids and back, by a model's tokenizer.json; the text of special tokens is parsed as such."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import tokenizers

from ensue.errors import InvalidRequest, ModelError
from ensue.model_folder import find, refuse_large
from ensue.text.longest_token import longest_token_chars
from ensue.text.normalizers import refuse_growth
from ensue.text.token_bytes import decoding_of
from ensue.text.token_names import id_name, name_of
from ensue.text.tokenizer_files import (
    MAX_BYTES,
    Settings,
    class_name,
    declared_tokens,
    find_chat_template,
    find_fim_template,
    find_tool_template,
    named_tokens,
    read_settings,
    unnamed_tokens,
)
from ensue.text.utf8 import Utf8Reader, whole_text

_PANIC = "PanicException"  # of the library; no Exception, and it has no name that could be imported
LARGEST_ID = (1 << 24) - 1  # the library goes through all ids up to the last, be there tokens or not


class _WholeTexts(dict[int, str | None]):
    """What each token adds anywhere within a text; None for parts of characters and special ones."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str | None:
        is_special = token_id in self._tokenizer.special_token_ids
        self[token_id] = text = None if is_special else whole_text(self._tokenizer.token_bytes(token_id))
        return text


class _TokenNames(dict[int, str]):
    """How log-probabilities name each token that stands within a text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str:
        self[token_id] = name = self._find(token_id, self._tokenizer.token_text(token_id))
        return name

    def _find(self, token_id: int, text: str | None) -> str:
        if text is None:
            return id_name(token_id)
        tokenizer = self._tokenizer
        return text if token_id in tokenizer.special_token_ids else name_of(tokenizer.token_bytes(token_id))


class Tokenizer:
    """One model's tokenizer; encoding is thread-safe, as the library's is.

    The post-processor of tokenizer.json says which special tokens are added; transformers, too, ignores
    `add_bos_token` of tokenizer_config.json where there is a tokenizer.json. Truncation and padding stored in the file
    are off.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        settings: Settings,
        chat_template: str | None,
        tool_template: str | None = None,
    ) -> None:
        """
        Args:
            settings: the content of tokenizer_config.json.
            tool_template: the chat template where there are tools, if that is another one.

        Raises:
            ModelError: the decoder is of no family that we can stream, the normalizer makes texts much longer, or the
                `fim_template` is malformed.
        """
        backend.no_truncation()
        backend.no_padding()
        if getattr(backend.model, "dropout", None):
            backend.model.dropout = None  # of training: equal texts would have other tokens each time
        self._backend = backend
        self._bytes: dict[int, bytes] = {}
        self.whole_texts: Mapping[int, str | None] = _WholeTexts(self)
        self.token_names: Mapping[int, str] = _TokenNames(self)
        self.special_tokens = named_tokens(settings)  # bos_token, eos_token, …: for chat templates
        self.bos_token, self.eos_token = map(self.special_tokens.get, ("bos_token", "eos_token"))
        self.special_token_ids = self._add_special_tokens(settings)
        self.class_name = class_name(settings)
        self.chat_template, self.tool_template = chat_template, tool_template
        self.fim_template = find_fim_template(settings)
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)
        layout = json.loads(backend.to_str())
        refuse_growth(layout["normalizer"])
        self._decoding = decoding_of(layout["decoder"])
        self.longest_token_chars = longest_token_chars(layout)  # None: no bound

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read tokenizer.json, and the files beside it where they are.

        Raises:
            ModelError: no tokenizer.json, or files that can't be read.
        """
        path = find(folder, "tokenizer.json")
        if path is None:
            found = ", ".join(sorted(p.name for p in folder.glob("*token*"))) or "none"
            raise ModelError(f"The model has no tokenizer.json, which is needed (tokenizer files found: {found}).")
        refuse_large(path, MAX_BYTES)
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"The model's tokenizer.json cannot be read: {error}.") from None
        if max(backend.get_vocab(with_added_tokens=True).values(), default=0) > LARGEST_ID:
            raise ModelError(f"The model's tokenizer.json has token ids above {LARGEST_ID}.")
        settings = read_settings(folder)
        templates = find_chat_template(folder, settings), find_tool_template(folder, settings)
        return cls(backend, settings, *templates)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text without lone surrogates.

        Raises:
            InvalidRequest: the library gives up, as its regular expressions take bounded steps.
        """
        try:
            ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        except BaseException as error:
            if type(error).__name__ != _PANIC:
                raise
            raise InvalidRequest("The model's tokenizer fails at this text.", param="prompt") from None
        return ids

    def decode(self, token_ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids, as a `Detokenizer` gives it piece by piece."""
        reader, is_at_start, pieces = self.utf8_reader(), True, []
        for token_id in token_ids:
            if skip_special_tokens and token_id in self.special_token_ids:
                continue
            pieces += reader.read(self.token_bytes(token_id, begins_text=is_at_start))
            is_at_start = is_at_start and not self.token_bytes(token_id)
        pieces += reader.read(b"", is_last=True)
        return "".join(character.text for character in pieces)

    def utf8_reader(self) -> Utf8Reader:
        """Reads the concatenated bytes of tokens; invalid UTF-8 becomes U+FFFD."""
        return Utf8Reader(replaces_bytes=self._decoding.has_byte_tokens)

    def token_bytes(self, token_id: int, *, begins_text: bool = False) -> bytes:
        """The bytes that a token stands for; none for an id without a token.

        Args:
            begins_text: nothing stands before it; SentencePiece-like tokenizers don't show a leading space then.
        """
        if begins_text:
            token = self.token_text(token_id)
            return b"" if token is None else self._decoding.first_to_bytes(token)
        if token_id not in self._bytes:
            token = self.token_text(token_id)
            self._bytes[token_id] = b"" if token is None else self._decoding.to_bytes(token)
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
    def leading_token_ids(self) -> tuple[int, ...]:
        """The special tokens that encoding puts before a text."""
        text, whole = self.encode("x", add_special_tokens=False), self.encode("x")
        start = next((i for i in range(len(whole)) if whole[i : i + len(text)] == text), 0)
        return tuple(whole[:start])

    @property
    def bos_token_id(self) -> int | None:
        return None if self.bos_token is None else self.token_id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        return None if self.eos_token is None else self.token_id(self.eos_token)

    def _add_special_tokens(self, settings: Settings) -> frozenset[int]:
        """Make what the settings call special so, as transformers does; returns all special ids.

        A token that the vocabulary lacks is left out: the model has no row for it.
        """
        backend = self._backend
        before = backend.get_added_tokens_decoder()
        contents = {token.content for token in before.values()}
        unnamed = (token for token in unnamed_tokens(settings) if token["content"] not in contents)
        for token in (*declared_tokens(settings), *unnamed):
            if self.token_id(token["content"]) is not None:
                backend.add_tokens([tokenizers.AddedToken(**token)])
        backend.add_special_tokens([name for name in self.special_tokens.values() if self.token_id(name) is not None])
        after = backend.get_added_tokens_decoder()  # once special, always special: so the library has it
        return frozenset(id_ for id_, token in (*before.items(), *after.items()) if token.special)
